//! The verifier: everything that decides about a second factor.
//!
//! `serve` takes a request from a face; `login` and `manage` answer it; `policy`, `judge` and
//! `lockout` decide without touching the world; `store` keeps what was decided.
#![forbid(unsafe_code)]

pub mod audit;
pub mod config;
mod decision;
pub mod enrol;
pub mod factor;
mod failure;
pub mod judge;
pub mod lockout;
pub mod login;
pub mod manage;
pub mod policy;
pub mod process;
pub mod record;
pub mod serve;
pub mod source;
pub mod store;
pub mod users;
pub mod world;
