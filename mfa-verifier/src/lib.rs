//! The verifier: everything that decides about a second factor.
//!
//! `resident` serves root's connections from one process, `listen` starts a verifier for each
//! connection of a user; `serve` takes a request from a face, of which `admission` and `confine` leave
//! what the caller may ask; `login` and `manage` answer it, where need be by a `challenge`; `newcomer`
//! enrols at a login who has nothing to give a code of; `situation` gathers what `policy` looks at;
//! `policy`, `judge` and `lockout` decide without touching the world; `store` keeps what was decided;
//! `mail` has letters sent.
#![forbid(unsafe_code)]

mod access_tokens;
pub mod admission;
pub mod alterations;
pub mod attempt;
pub mod audit;
mod challenge;
mod change;
mod check;
pub mod config;
pub mod confine;
mod decision;
pub mod enrol;
mod examine;
mod explain;
mod export;
pub mod factor;
mod failure;
pub mod growth;
mod helpdesk;
mod import;
mod invite;
pub mod judge;
pub mod listen;
pub mod local_time;
pub mod lockout;
pub mod login;
pub mod mail;
pub mod manage;
#[cfg(test)]
#[path = "../../tests/src/manual.rs"]
mod manual;
mod newcomer;
mod notices;
mod overview;
pub mod pam_services;
pub mod places;
pub mod policy;
pub mod process;
mod reason;
pub mod reauth;
mod recall;
pub mod record;
pub mod remember;
pub mod resident;
mod resync;
mod self_service;
pub mod serve;
pub mod session;
mod situation;
mod socket;
pub mod source;
mod stack;
pub mod store;
pub mod users;
mod ways;
mod words;
pub mod world;
