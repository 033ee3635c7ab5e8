//! The PAM services of this host, as far as a policy may be wrong about them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mfa_protocol::pam_service;

/// Where libpam looks for services: the first, and what distributions add to it.
const DIRECTORIES: [&str; 4] =
    ["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d"];

/// Files with the lines of services.
pub trait PamServices {
    /// The names of all files; some are there to be taken in by others.
    fn names(&self) -> BTreeSet<String>;

    /// Where the file of this name is.
    fn place(&self, name: &str) -> Option<PathBuf>;

    /// What is in it, if nobody but root can have written that.
    fn read(&self, name: &str) -> Option<String>;
}

/// The directories in which libpam looks.
#[derive(Debug, Clone, Copy)]
pub struct PamD;

impl PamServices for PamD {
    fn names(&self) -> BTreeSet<String> {
        let entries = DIRECTORIES.into_iter().filter_map(|path| fs::read_dir(path).ok()).flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    fn place(&self, name: &str) -> Option<PathBuf> {
        let places = DIRECTORIES.into_iter().map(|path| Path::new(path).join(name));
        places.into_iter().find(|place| place.exists())
    }

    fn read(&self, name: &str) -> Option<String> {
        pam_service::load(&DIRECTORIES, name).ok()
    }
}
