//! The gateway as a library: the binary is `main.rs`, which only starts [`cli`].
//!
//! Folders in the order a request meets them: [`listener`], [`http`], [`proxy`] with [`policy`], [`balance`] and
//! [`upstream`]. A change takes the other way: [`control`] works out a generation and publishes it in [`live`], where
//! every request looks once. What outlives generations is in [`state`].

pub mod admin;
pub mod app;
pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod http;
pub mod listener;
pub mod live;
mod local;
pub mod policy;
pub mod proxy;
pub mod state;
pub mod telemetry;
mod timer;
pub mod tls;
pub mod upstream;
