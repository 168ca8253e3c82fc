//! The gateway as a library: the binary is `main.rs`, which only starts [`cli`].

pub mod app;
pub mod cli;
pub mod config;
pub mod state;
pub mod telemetry;
