//! Tokens: who may connect, and under which id. A token is a JWT (RFC 7519) with HMAC-SHA-256 (RFC 7518, HS256); no other
//! algorithm exists here, whatever its header says.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use peerloom_core::hub::Grant;
use peerloom_core::wire::{Id, Secret};
use serde::Deserialize;
use sha2::Sha256;

/// Bytes that a signing secret must have.
const SECRET: usize = 32;
/// Different bytes that it must have: what is typed on one key is no secret.
const DIFFERENT: usize = 10;
/// Seconds by which the clocks of issuer and server may differ.
const LEEWAY: u64 = 30;
/// What a token must be meant for.
const AUDIENCE: &str = "peerloom";

/// How clients prove who they are.
#[derive(Clone)]
pub enum Auth {
    /// They need not: for development.
    Open,
    /// By a token signed with this secret.
    Tokens(Arc<[u8]>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Tokens(_) => "Tokens",
        })
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(own) => own == name,
            Self::Many(all) => all.iter().any(|own| own == name),
        }
    }
}

impl Auth {
    /// Tokens signed with the secret in `file`, without the white space at its ends.
    ///
    /// # Errors
    /// A text for the operator, if it can't be read or is too weak.
    pub fn from_file(file: &Path) -> Result<Self, String> {
        let bytes =
            std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Self::from_secret(bytes.trim_ascii()).map_err(|problem| format!("{}: {problem}", file.display()))
    }

    /// Tokens signed with `secret`.
    ///
    /// # Errors
    /// A text for the operator, if it is too weak.
    pub fn from_secret(secret: &[u8]) -> Result<Self, String> {
        let mut different = secret.to_vec();
        different.sort_unstable();
        different.dedup();
        if secret.len() < SECRET || different.len() < DIFFERENT {
            return Err(format!(
                "the secret is too weak: it takes {SECRET} bytes that nobody can guess"
            ));
        }
        Ok(Self::Tokens(secret.into()))
    }

    /// What a client with this token may do. `now`: seconds since 1970.
    ///
    /// # Errors
    /// What is wrong with the token, in words that give nothing away.
    pub fn check(&self, token: Option<&Secret>, now: u64) -> Result<Grant, &'static str> {
        let Self::Tokens(secret) = self else {
            return Ok(Grant::default());
        };
        let token = token.ok_or("this server wants a token")?.expose();
        let (signed, signature) = token.rsplit_once('.').ok_or("not a JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("not a JWT")?;
        let header: Header = json(header).ok_or("not a JWT")?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err("the token's algorithm is not HS256");
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "not a JWT")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| "not a JWT")?;
        mac.update(signed.as_bytes());
        mac.verify_slice(&signature)
            .map_err(|_| "the token's signature is wrong")?;
        let claims: Claims = json(claims).ok_or("the token lacks sub, aud or exp")?;
        if !claims.aud.contains(AUDIENCE) {
            return Err("the token is not for peerloom");
        }
        if claims.exp + LEEWAY as f64 <= now as f64 {
            return Err("the token has expired");
        }
        if claims.nbf.is_some_and(|from| from > (now + LEEWAY) as f64) {
            return Err("the token is not valid yet");
        }
        let subject = Id::new(&claims.sub).map_err(|_| "the token's sub is no id")?;
        Ok(Grant {
            subject: Some(subject),
        })
    }
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Signs a token with these claims: for tests.
#[doc(hidden)]
#[must_use]
pub fn sign(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = Hmac::<Sha256>::new_from_slice(secret)
        .map(|mac| mac.chain_update(&signed).finalize().into_bytes().to_vec())
        .unwrap_or_default();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    const NOW: u64 = 1_000_000;

    fn check(token: &str) -> Result<Grant, &'static str> {
        Auth::from_secret(KEY)
            .unwrap()
            .check(Secret::new(token).as_ref(), NOW)
    }

    #[test]
    fn a_good_token_binds_the_id() {
        for aud in [r#""peerloom""#, r#"["other","peerloom"]"#] {
            let claims = format!(r#"{{"sub":"alice","aud":{aud},"exp":1000100,"nbf":999000}}"#);
            let grant = check(&sign(KEY, HEADER, &claims)).unwrap();
            assert_eq!(grant.subject.unwrap().as_str(), "alice");
        }
    }

    #[test]
    fn every_other_token_is_refused() {
        let good = r#"{"sub":"alice","aud":"peerloom","exp":1000100}"#;
        assert!(check(&sign(KEY, HEADER, good)).is_ok());
        let signed = sign(KEY, HEADER, good);
        let none = sign(KEY, r#"{"alg":"none"}"#, good);
        for token in [
            String::new(),
            "a.b.c".to_owned(),
            "..".to_owned(),
            none.clone(),
            format!("{}.", none.rsplit_once('.').unwrap().0),
            sign(KEY, r#"{"alg":"HS384"}"#, good),
            sign(KEY, r#"{"alg":"hs256"}"#, good),
            sign(KEY, r#"{"alg":"HS256","crit":["x"]}"#, good),
            sign(b"another key of thirty-six characters", HEADER, good),
            format!("{}A", signed),
            signed[..signed.len() - 2].to_owned(),
            sign(KEY, HEADER, r#"{"sub":"alice","aud":"peerloom","exp":999900}"#),
            sign(KEY, HEADER, r#"{"sub":"alice","aud":"peerloom"}"#),
            sign(KEY, HEADER, r#"{"sub":"alice","aud":"peerloom","exp":"1000100"}"#),
            sign(
                KEY,
                HEADER,
                r#"{"sub":"alice","aud":"peerloom","exp":1000100,"nbf":1000090}"#,
            ),
            sign(KEY, HEADER, r#"{"sub":"alice","aud":"other","exp":1000100}"#),
            sign(KEY, HEADER, r#"{"sub":"alice","exp":1000100}"#),
            sign(KEY, HEADER, r#"{"aud":"peerloom","exp":1000100}"#),
            sign(KEY, HEADER, r#"{"sub":"","aud":"peerloom","exp":1000100}"#),
            sign(KEY, HEADER, r#"{"sub":"alice","aud":"peerloom","exp":null}"#),
        ] {
            assert!(check(&token).is_err(), "{token}");
        }
        assert!(Auth::from_secret(KEY).unwrap().check(None, NOW).is_err());
    }

    #[test]
    fn weak_secrets_are_refused() {
        assert!(Auth::from_secret(b"short").is_err());
        assert!(Auth::from_secret(&[b'a'; 64]).is_err());
        assert!(Auth::from_secret(b"changemechangemechangemechangeme").is_err());
        assert!(!format!("{:?}", Auth::from_secret(KEY).unwrap()).contains("0123"));
    }

    #[test]
    fn without_a_secret_everything_is_allowed() {
        assert_eq!(Auth::Open.check(None, NOW), Ok(Grant::default()));
    }
}
