//! The groups of the system (nsswitch.conf(5)).

use std::ffi::{CStr, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use nix::libc;

/// Bytes for a group's names that are tried first.
const USUAL: usize = 16 * 1024;

/// Bytes beyond which nothing is believed to be a group: millions of members.
const MOST: usize = 256 * 1024 * 1024;

/// The number of the group of this name, if the system has one.
///
/// The system hands out all members with it, and where a source reads its groups one after the other, room
/// is needed for those before it as well. nix stops at one mebibyte, which some 50,000 members fill: in a
/// directory "everybody" may have more.
///
/// # Errors
/// Whatever the sources say that is not "no such group", ENOENT of one that is down among it.
pub fn gid_of(name: &CStr) -> io::Result<Option<u32>> {
    let mut size = USUAL;
    loop {
        let mut names: Vec<c_char> = Vec::new();
        names.try_reserve_exact(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut group = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `name` ends in a NUL; `group` has room for the entry and `names` for `size` bytes; all of
        // them live until `found` was last looked at, below.
        let error = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                group.as_mut_ptr(),
                names.as_mut_ptr(),
                size,
                &raw mut found,
            )
        };
        match error {
            0 if found.is_null() => return Ok(None),
            // SAFETY: without an error `found` is null or points to `group`, which was then filled in.
            0 => return Ok(Some(unsafe { (*found).gr_gid })),
            libc::ERANGE if size < MOST => size *= 4,
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_number_and_what_is_none_has_not() {
        assert_eq!(gid_of(c"root").unwrap(), Some(0));
        assert_eq!(gid_of(c"no such group").unwrap(), None);
    }
}
