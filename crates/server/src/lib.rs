//! The Peerloom signalling server: sockets, HTTP, tokens and limits around [`peerloom_core::hub::Hub`].
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | options, checked |
//! | [`server`] | accepting, routing, stopping |
//! | [`switchboard`] | the hub, and which queue each of its outputs goes to |
//! | [`outgoing`] | what waits to be written to one socket |
//! | [`socket`] | one WebSocket from handshake to close |
//! | [`auth`] | tokens |
//! | [`origin`] | which pages may connect |
//! | [`address`] | limits per address, addresses behind proxies |
//! | [`site`] | the demo and the npm package |
//!
//! Every queue is bounded, in bytes or in number; what is over a bound closes the socket that it belongs to.

pub mod address;
pub mod auth;
pub mod config;
pub mod origin;
pub mod outgoing;
pub mod server;
pub mod site;
pub mod socket;
pub mod switchboard;

pub use config::Config;
pub use server::run;
