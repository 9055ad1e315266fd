//! Options from the command line and the environment, and what they amount to once checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use peerloom_core::hub::{HubConfig, Rate};
use tracing::level_filters::LevelFilter;

use crate::address::Network;
use crate::auth::Auth;
use crate::origin::Origins;
use crate::site::Site;

/// What the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The Peerloom signalling server.
#[derive(Clone, Debug, Parser)]
#[command(name = "peerloom-server", version, about)]
pub struct Options {
    /// Address and port to listen on; port 0 takes any that is free
    #[arg(
        long,
        env = "PEERLOOM_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// For development: no tokens needed, pages of this server's own and of any loopback origin may connect
    #[arg(long, env = "PEERLOOM_DEV")]
    pub dev: bool,
    /// A page's origin that may connect, such as `https://example.org`; repeatable
    #[arg(
        long = "origin",
        env = "PEERLOOM_ORIGINS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub origins: Vec<String>,
    /// Lets clients connect that send no Origin at all: programs rather than pages
    #[arg(long, env = "PEERLOOM_ALLOW_NO_ORIGIN")]
    pub allow_no_origin: bool,
    /// A file with the secret, at least 32 bytes, that tokens (HS256) are signed with
    #[arg(long, env = "PEERLOOM_TOKEN_SECRET_FILE", value_name = "FILE")]
    pub token_secret_file: Option<PathBuf>,
    /// Milliseconds that a lost session can be resumed for, and its id stays reserved
    #[arg(long, env = "PEERLOOM_GRACE", default_value_t = 10_000, value_name = "MS")]
    pub grace: u32,
    /// Clients at once
    #[arg(
        long,
        env = "PEERLOOM_MAX_CLIENTS",
        default_value_t = 10_000,
        value_name = "N"
    )]
    pub max_clients: usize,
    /// A proxy whose X-Forwarded-For is believed: an address, or a network such as 10.0.0.0/8; repeatable
    #[arg(
        long = "trusted-proxy",
        env = "PEERLOOM_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<Network>,
    /// What pages give to RTCPeerConnection: a JSON array of RTCIceServer
    #[arg(long, env = "PEERLOOM_ICE_SERVERS", value_name = "JSON")]
    pub ice_servers: Option<String>,
    /// Serves the files of this folder at / instead of the demo; /pkg/ remains, where the folder has none
    #[arg(long, env = "PEERLOOM_SITE", value_name = "DIR", conflicts_with = "no_site")]
    pub site: Option<PathBuf>,
    /// Serves no files, only the WebSocket and /healthz
    #[arg(long, env = "PEERLOOM_NO_SITE")]
    pub no_site: bool,
    /// The log's format
    #[arg(long, env = "PEERLOOM_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// The log's level: off, error, warn, info, debug or trace
    #[arg(
        long,
        env = "PEERLOOM_LOG_LEVEL",
        default_value = "info",
        value_name = "LEVEL"
    )]
    pub log_level: LevelFilter,
}

const NO_AUTHENTICATION: &str = "no authentication is configured, so anybody could connect.

Give the secret that your application signs its users' tokens with:
    peerloom-server --token-secret-file FILE --origin https://your.site
A token is a JWT, HS256, with the claims sub (the client's id), aud (\"peerloom\") and exp.
A secret can be made with: openssl rand -base64 48 > FILE

To try things out on this machine, without tokens:
    peerloom-server --dev";

impl Options {
    /// What the options amount to.
    ///
    /// # Errors
    /// A text for the operator: what is wrong and how to put it right.
    pub fn check(&self) -> Result<Config, String> {
        let auth = match &self.token_secret_file {
            Some(file) => Auth::from_file(file)?,
            None if self.dev => Auth::Open,
            None => return Err(NO_AUTHENTICATION.to_owned()),
        };
        if let Some(json) = &self.ice_servers {
            match serde_json::from_str(json) {
                Ok(serde_json::Value::Array(_)) => {}
                Ok(_) => return Err("--ice-servers: not a JSON array".to_owned()),
                Err(error) => return Err(format!("--ice-servers: not JSON: {error}")),
            }
        }
        let site = match &self.site {
            Some(folder) => Site::folder(folder)?,
            None if self.no_site => Site::None,
            None => Site::Embedded,
        };
        let mut config = Config::new(auth);
        config.origins = Origins::new(&self.origins, self.dev, self.allow_no_origin || self.dev)?;
        config.site = site;
        config.trusted_proxies.clone_from(&self.trusted_proxies);
        config.hub.grace = self.grace;
        config.hub.sessions = self.max_clients;
        config.hub.ice_servers.clone_from(&self.ice_servers);
        config.sockets = self.max_clients.saturating_add(256);
        Ok(config)
    }
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protocol's side.
    pub hub: HubConfig,
    /// Who may connect.
    pub auth: Auth,
    /// From which pages.
    pub origins: Origins,
    /// Which files are served.
    pub site: Site,
    /// Whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<Network>,
    /// TCP connections at once. What is over it is not accepted until there is room.
    pub sockets: usize,
    /// TCP connections at once from one address (IPv6: from one /64). What is over it is closed.
    pub sockets_per_address: usize,
    /// WebSockets opened from one address.
    pub opens_per_address: Rate,
    /// Bytes that may wait to be written to one socket; over it, the socket is closed with 4006.
    pub outgoing: usize,
    /// How long a request's head may take.
    pub head_within: Duration,
    /// How long a client may take from the WebSocket's opening to its hello.
    pub hello_within: Duration,
    /// How long a socket may be silent before it is pinged.
    pub ping_after: Duration,
    /// How long a socket may be silent before it is closed with 4007.
    pub mute_after: Duration,
    /// How long a close may take on a socket that does not co-operate.
    pub close_within: Duration,
    /// Ping and Pong frames of the WebSocket protocol itself, per socket.
    pub control_frames: Rate,
}

impl Config {
    /// The defaults, with nothing but `auth` decided: no page may connect yet.
    #[must_use]
    pub fn new(auth: Auth) -> Self {
        Self {
            hub: HubConfig::default(),
            auth,
            origins: Origins::default(),
            site: Site::None,
            trusted_proxies: Vec::new(),
            sockets: 10_256,
            // A school or an office behind one address.
            sockets_per_address: 2_048,
            opens_per_address: Rate::new(50, 1_000),
            outgoing: 4 * 1024 * 1024,
            head_within: Duration::from_secs(10),
            hello_within: Duration::from_secs(10),
            ping_after: Duration::from_secs(4),
            mute_after: Duration::from_secs(10),
            close_within: Duration::from_secs(2),
            control_frames: Rate::new(10, 100),
        }
    }
}
