//! The only unsafe room of the module: what libpam offers and `pam-bindings` does not wrap, or
//! wraps for UTF-8 only.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use mfa_protocol::escape::escape;
use pam::constants::PamResultCode;
use pam::module::PamHandle;

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_get_user(pamh: *mut PamHandle, user: *mut *const c_char, prompt: *const c_char)
    -> c_int;
    fn pam_getenv(pamh: *mut PamHandle, name: *const c_char) -> *const c_char;
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

/// How grave a line in the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// A fault of this program.
    Critical = libc::LOG_CRIT,
    /// Something that an administrator must mend.
    Error = libc::LOG_ERR,
    /// Something that people do.
    Notice = libc::LOG_NOTICE,
    /// Only under `debug`.
    Debug = libc::LOG_DEBUG,
}

/// Copies `PAM_USER`, for which the host may ask the person first. `None` if there is none.
pub fn user(pamh: &mut PamHandle) -> Option<Vec<u8>> {
    let mut user = ptr::null();
    // SAFETY: the handle is libpam's own and valid while a hook runs; `user` outlives the call; a
    // null prompt means the default one.
    let code = unsafe { pam_get_user(pamh, &raw mut user, ptr::null()) };
    if code != PamResultCode::PAM_SUCCESS as c_int {
        return None;
    }
    // SAFETY: on success it is null or points into the handle, and nothing has changed that since.
    unsafe { copy(user) }
}

/// Copies a variable of the PAM environment, which the host sets; never of the process's own,
/// which the caller of a set-uid host sets.
pub fn environment(pamh: &mut PamHandle, name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the handle is valid while a hook runs, and `name` ends in a zero byte.
    let value = unsafe { pam_getenv(pamh, name.as_ptr()) };
    // SAFETY: it is null or points into the handle, and nothing has changed that since.
    unsafe { copy(value) }
}

/// Writes one line to the log of the host's authentication, escaped: text from outside cannot
/// leave its line.
pub fn log(pamh: &PamHandle, level: Level, text: &str) {
    // Escaped text holds no zero byte, so this does not fail.
    let text = CString::new(escape(text)).unwrap_or_default();
    // SAFETY: the handle is valid while a hook runs; the format is constant and takes one string,
    // which ends in a zero byte and outlives the call.
    unsafe { pam_syslog(pamh, level as c_int, c"%s".as_ptr(), text.as_ptr()) };
}

/// # Safety
///
/// `text` is null, or a C string that stays as it is until this returns.
unsafe fn copy(text: *const c_char) -> Option<Vec<u8>> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller promises the rest.
    Some(unsafe { CStr::from_ptr(text) }.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry;

    /// What libpam calls.
    type Entry = unsafe extern "C" fn(
        *mut PamHandle,
        pam::constants::PamFlag,
        c_int,
        *const *const c_char,
    ) -> PamResultCode;

    #[test]
    fn what_libpam_never_passes_is_an_error_of_every_entry_point() {
        let entries: [Entry; 6] = [
            entry::pam_sm_authenticate,
            entry::pam_sm_setcred,
            entry::pam_sm_acct_mgmt,
            entry::pam_sm_open_session,
            entry::pam_sm_close_session,
            entry::pam_sm_chauthtok,
        ];
        let handle = ptr::NonNull::<PamHandle>::dangling().as_ptr();
        let one_null = [ptr::null::<c_char>()];
        for entry in entries {
            for (handle, count, arguments) in [
                (ptr::null_mut(), 0, ptr::null()),
                (handle, -1, ptr::null()),
                (handle, 1, ptr::null()),
                (handle, 1, one_null.as_ptr()),
            ] {
                // SAFETY: each of these is refused before the handle or an argument is looked at;
                // the handle is one of a type without fields, and the array has as many elements as
                // is said, or is null.
                let code = unsafe { entry(handle, 0, count, arguments) };
                assert_eq!(code, PamResultCode::PAM_ABORT, "{count}");
            }
        }
    }
}
