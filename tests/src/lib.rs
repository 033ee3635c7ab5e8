//! What the tests stand on: hosts to log in to, people who log in, programs that ask PAM.
//!
//! A [`Host`] is a container: a Debian of its own, with what `make install` lays out in it, its own
//! users, PAM services, network and `/dev/log`, and systemd where a test wants it. Nothing of the
//! machine that runs the tests is touched. In it run a person at a terminal ([`Pty`]), an application that uses libpam as a script
//! says ([`pam`]), and whatever else a test starts.
//!
//! Where it takes another kernel there is a [`Machine`], which is virtual, with Debian and the package on its disk.
//!
//! `make test` prepares all that they need. A test that misses something fails; none is skipped.
#![forbid(unsafe_code)]

pub mod apparmor;
pub mod authselect;
pub mod booted;
pub mod cache;
pub mod clock;
pub mod codes;
pub mod command_line;
pub mod container;
pub mod debian;
pub mod denied;
pub mod directory;
pub mod disk;
pub mod face;
pub mod host;
pub mod life;
pub mod listener;
pub mod log;
pub mod machine;
pub mod mail;
pub mod manual;
pub mod mode;
pub mod packages;
pub mod pam;
pub mod peer;
pub mod person;
pub mod pty;
pub mod readme;
pub mod requests;
pub mod resident;
pub mod root_face;
pub mod screen;
pub mod siege;
pub mod soak;
pub mod ssh;
pub mod sweep;
pub mod timed;
pub mod traced;
pub mod waiting;

pub use codes::{Backup, Device};
pub use host::{Host, Output, Running};
pub use machine::Machine;
pub use person::Person;
pub use pty::Pty;

/// What interface.md has a person told whose code was accepted before.
pub const USED: &str = "This code was already used; wait for the next one.";
