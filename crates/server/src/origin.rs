//! Which pages may connect: an exact list of origins (RFC 6454). There are no cookies to steal, but a page must not use
//! its visitors' position in the network.

/// The allow-list.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    listed: Vec<String>,
    dev: bool,
    absent: bool,
}

impl Origins {
    /// Those `listed`; in development also the server's own pages and those of any loopback origin; and, if `absent`,
    /// clients that name no origin.
    ///
    /// # Errors
    /// Names an entry that is not an origin.
    pub fn new(listed: &[String], dev: bool, absent: bool) -> Result<Self, String> {
        let listed = listed
            .iter()
            .map(|text| {
                let text = text.trim().trim_end_matches('/');
                let (scheme, host) = text.split_once("://").unwrap_or_default();
                if !matches!(scheme, "http" | "https")
                    || host.is_empty()
                    || host.contains(['/', '*', '@', '?', ' '])
                {
                    return Err(format!(
                        "--origin {text}: not an origin, such as https://example.org"
                    ));
                }
                Ok(text.to_ascii_lowercase())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { listed, dev, absent })
    }

    /// Whether a page of `origin` may connect to a server that it calls `host`.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return self.absent;
        };
        let origin = origin.to_ascii_lowercase();
        if self.listed.contains(&origin) {
            return true;
        }
        let Some((_, authority)) = origin.split_once("://") else {
            return false;
        };
        self.dev && (is_loopback(authority) || host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_exact() {
        let listed = [
            "https://example.org".to_owned(),
            "http://Other.example:81/".to_owned(),
        ];
        let origins = Origins::new(&listed, false, false).unwrap();
        for (origin, allowed) in [
            ("https://example.org", true),
            ("https://EXAMPLE.org", true),
            ("http://other.example:81", true),
            ("http://example.org", false),
            ("https://example.org.evil.test", false),
            ("https://evil.test/https://example.org", false),
            ("https://sub.example.org", false),
            ("https://example.org:8443", false),
            ("http://localhost:8080", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(
                origins.allow(Some(origin), Some("example.test")),
                allowed,
                "{origin}"
            );
        }
        assert!(!origins.allow(None, None));
        assert!(!origins.allow(Some("https://server.test"), Some("server.test")));
    }

    #[test]
    fn development_allows_loopback_and_its_own_pages() {
        let origins = Origins::new(&[], true, true).unwrap();
        for (origin, allowed) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:8080", true),
            ("http://app.localhost:1", true),
            ("http://192.168.1.7:8080", true),
            ("http://192.168.1.8:8080", false),
            ("http://localhost.evil.test", false),
            ("http://127.0.0.1.evil.test", false),
            ("null", false),
        ] {
            assert_eq!(
                origins.allow(Some(origin), Some("192.168.1.7:8080")),
                allowed,
                "{origin}"
            );
        }
        assert!(origins.allow(None, None));
    }

    #[test]
    fn what_is_not_an_origin_is_refused_at_the_start() {
        for text in [
            "example.org",
            "*",
            "https://*.example.org",
            "ftp://example.org",
            "https://example.org/path",
        ] {
            assert!(Origins::new(&[text.to_owned()], false, false).is_err(), "{text}");
        }
    }
}
