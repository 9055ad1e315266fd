//! The demo and the npm package over HTTP, so that one binary is all that it takes to try everything out. In release
//! builds the files are inside the binary; in debug builds they are read from the source tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST,
    HeaderName, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "../../www/"]
#[allow_missing = true]
struct Demo;

#[derive(RustEmbed)]
#[folder = "../../pkg/"]
#[allow_missing = true]
struct Package;

/// Where files come from.
#[derive(Clone, Debug)]
pub enum Site {
    /// The demo, and the package under `/pkg/`.
    Embedded,
    /// A folder; and the package under `/pkg/`, where the folder has no file of that name.
    Folder(PathBuf),
    /// Nowhere.
    None,
}

/// Files, with their compressed forms once they have been asked for.
#[derive(Debug)]
pub struct Files {
    site: Site,
    /// By path: the tag of the plain file, and the compressed one.
    compressed: Mutex<HashMap<String, (Arc<str>, Bytes)>>,
}

impl Site {
    /// The files below `folder`.
    ///
    /// # Errors
    /// If it is no folder.
    pub fn folder(folder: &Path) -> Result<Self, String> {
        match folder.canonicalize() {
            Ok(folder) if folder.is_dir() => Ok(Self::Folder(folder)),
            Ok(_) => Err(format!("--site {}: not a folder", folder.display())),
            Err(error) => Err(format!("--site {}: {error}", folder.display())),
        }
    }

    fn read(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        match self {
            Self::None => None,
            Self::Embedded => Self::embedded(path),
            Self::Folder(folder) => {
                let file = folder.join(path);
                // A link inside the folder may point out of it.
                let inside = file
                    .canonicalize()
                    .is_ok_and(|file| file.starts_with(folder) && file.is_file());
                match inside.then(|| std::fs::read(&file)) {
                    Some(Ok(bytes)) => Some(bytes.into()),
                    _ if path.starts_with("pkg/") => Self::embedded(path),
                    _ => None,
                }
            }
        }
    }

    /// What is in the package, for those who look at `/pkg/` itself; `None` if it has not been built.
    fn contents(&self) -> Option<String> {
        let mut files: Vec<_> = Package::iter().filter(|file| !file.starts_with('.')).collect();
        files.sort();
        if matches!(self, Self::None) || files.is_empty() {
            return None;
        }
        let files: String = files.iter().map(|file| format!("/pkg/{file}\n")).collect();
        Some(format!(
            "Peerloom's npm package. In a page: import {{ connect }} from \"/pkg/index.js\"\n\n{files}"
        ))
    }

    fn embedded(path: &str) -> Option<Cow<'static, [u8]>> {
        match path.strip_prefix("pkg/") {
            Some(path) => Package::get(path),
            None => Demo::get(path),
        }
        .map(|file| file.data)
    }
}

/// The file that a request's path means: `index.html` for a folder. `None` if it could lead anywhere else.
fn file_of(path: &str) -> Option<String> {
    let path = path.strip_prefix('/')?;
    let decoded = decode(path)?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', ':']);
    let (folders, file) = decoded.rsplit_once('/').unwrap_or(("", &decoded));
    if !(folders.is_empty() || folders.split('/').all(plain)) || !(file.is_empty() || plain(file)) {
        return None;
    }
    Some(if file.is_empty() {
        format!("{decoded}index.html")
    } else {
        decoded
    })
}

/// Percent-decoding (RFC 3986 section 2.1).
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The media type by the file's extension, and whether compressing helps.
fn media_type(path: &str) -> (&'static str, bool) {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => ("text/html; charset=utf-8", true),
        "js" | "mjs" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "json" | "map" => ("application/json", true),
        "webmanifest" => ("application/manifest+json", true),
        "wasm" => ("application/wasm", true),
        "svg" => ("image/svg+xml", true),
        "txt" | "md" | "ts" => ("text/plain; charset=utf-8", true),
        "png" => ("image/png", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "webp" => ("image/webp", false),
        "ico" => ("image/x-icon", false),
        "woff2" => ("font/woff2", false),
        "mp4" => ("video/mp4", false),
        "webm" => ("video/webm", false),
        _ => ("application/octet-stream", false),
    }
}

/// The page may load its own files, compile WebAssembly, and connect to this server; nothing else.
fn policy(host: Option<&str>) -> HeaderValue {
    // Spelled out, since not every browser's 'self' takes WebSockets in. An odd Host is left out rather than quoted.
    let host = host.filter(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    });
    let sockets = host.map_or(String::new(), |host| format!(" ws://{host} wss://{host}"));
    let text = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
         connect-src 'self'{sockets}; font-src 'self'; manifest-src 'self'; media-src 'self' blob: mediastream:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

impl Files {
    /// The files of `site`.
    #[must_use]
    pub fn new(site: Site) -> Self {
        Self {
            site,
            compressed: Mutex::default(),
        }
    }

    /// Answers a request for `path`: 200, 304 if the client has it already, or 404.
    #[must_use]
    pub fn respond(&self, path: &str, request: &HeaderMap) -> Response<Body> {
        let mut response = self.answer(path, request);
        let headers = response.headers_mut();
        let host = request.get(HOST).and_then(|host| host.to_str().ok());
        headers.insert(CONTENT_SECURITY_POLICY, policy(host));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(
            PERMISSIONS,
            HeaderValue::from_static(
                "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()",
            ),
        );
        response
    }

    fn answer(&self, path: &str, request: &HeaderMap) -> Response<Body> {
        let file = file_of(path).and_then(|path| match self.site.read(&path) {
            Some(bytes) => Some((bytes, path)),
            None if path == "pkg/index.html" => Some((
                self.site.contents()?.into_bytes().into(),
                "pkg/index.txt".to_owned(),
            )),
            None => None,
        });
        let Some((bytes, path)) = file else {
            let mut response = Response::new(Body::from("There is nothing here.\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            return response;
        };
        let (media_type, compressible) = media_type(&path);
        let accepts = request
            .get(ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let gzip = compressible && bytes.len() > 1024 && accepts.split(',').any(|one| is_gzip(one.trim()));
        let tag = tag(&bytes, gzip);
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        // Asked for again each time, so that a page and its package never come from two versions.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if compressible {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        let known = request
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if known
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/") == &*tag)
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *response.body_mut() = self.compress(path, tag, &bytes).into();
        } else {
            *response.body_mut() = match bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            }
            .into();
        }
        response
    }

    fn compress(&self, path: String, tag: Arc<str>, bytes: &[u8]) -> Bytes {
        let mut compressed = self.compressed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = compressed.get(&path).filter(|(known, _)| *known == tag) {
            return bytes.clone();
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::best());
        // Writing into memory does not fail.
        let _ = encoder.write_all(bytes);
        let smaller = Bytes::from(encoder.finish().unwrap_or_default());
        compressed.insert(path, (tag, smaller.clone()));
        smaller
    }
}

fn is_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    name.trim() == "gzip" && weight.trim() != "q=0"
}

/// A strong entity tag (RFC 9110 section 8.8.3) of this form of the file.
fn tag(bytes: &[u8], gzip: bool) -> Arc<str> {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}{}\"", if gzip { "-gz" } else { "" }).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_nowhere_else() {
        for (path, file) in [
            ("/", Some("index.html")),
            ("/app.js", Some("app.js")),
            ("/a%20b/c.js", Some("a b/c.js")),
            ("/folder/", Some("folder/index.html")),
            ("/../secret", None),
            ("/%2e%2e/secret", None),
            ("/a/..%2fsecret", None),
            ("/a/%2e%2e%2f%2e%2e/secret", None),
            ("//etc/passwd", None),
            ("/.git/config", None),
            ("/a\\b", None),
            ("/c:/x", None),
            ("/%00", None),
            ("/%", None),
            ("/%ff", None),
            ("", None),
        ] {
            assert_eq!(file_of(path).as_deref(), file, "{path}");
        }
    }

    #[test]
    fn the_policy_quotes_only_hosts() {
        let text = |host| policy(Some(host)).to_str().unwrap().to_owned();
        assert!(
            text("example.org:8080")
                .contains("connect-src 'self' ws://example.org:8080 wss://example.org:8080;")
        );
        assert!(text("x; script-src *").contains("connect-src 'self';"));
    }
}
