//! The default router plugin. Being assembled: the pure modules come first.
#![allow(dead_code, reason = "the modules that use these follow")]

mod merge;
mod report;
mod rule;
mod settings;
mod tags;
mod template;
