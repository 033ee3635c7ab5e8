//! The only unsafe room of the module: what libpam offers and `pam-bindings` does not wrap, or
//! wraps for UTF-8 only.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use mfa_protocol::Secret;
use mfa_protocol::escape::escape;
use pam::constants::PamResultCode;
use pam::items::ItemType;
use pam::module::PamHandle;

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_get_user(pamh: *mut PamHandle, user: *mut *const c_char, prompt: *const c_char)
    -> c_int;
    fn pam_set_item(pamh: *mut PamHandle, item: c_int, value: *const c_void) -> c_int;
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
    /// Something that an administrator should look at.
    Warning = libc::LOG_WARNING,
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

/// libpam did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("libpam does not keep what was typed")]
pub struct NotKept;

/// Sets `PAM_AUTHTOK`, of which libpam makes a copy. An empty password is taken for none: a first
/// factor then has nothing to judge, where it might take emptiness for consent (as LDAP servers do:
/// RFC 4513, 5.1.2).
pub fn set_password(pamh: &mut PamHandle, password: &[u8]) -> Result<(), NotKept> {
    let mut text = Vec::with_capacity(password.len() + 1);
    text.extend_from_slice(password);
    text.push(0);
    let text = Secret::new(text);
    let value = CStr::from_bytes_with_nul(text.expose()).map_err(|_| NotKept)?;
    let value = if value.is_empty() { ptr::null() } else { value.as_ptr().cast() };
    // SAFETY: the handle is valid while a hook runs; PAM_AUTHTOK is a C string, which `value` is, and
    // which is copied before this returns, or null.
    let code = unsafe { pam_set_item(pamh, ItemType::AuthTok as c_int, value) };
    if code == PamResultCode::PAM_SUCCESS as c_int { Ok(()) } else { Err(NotKept) }
}

/// What `PAM_DATA` of this module is.
type Kept = Cell<Option<Secret>>;

/// Keeps a code in the handle, in place of one that was kept before, until it is taken or the
/// handle ends; then it is wiped.
pub fn keep_code(pamh: &mut PamHandle, code: Secret) -> Result<(), NotKept> {
    pamh.set_data::<Kept>(&kept_under(), Box::new(Cell::new(Some(code)))).map_err(|_| NotKept)
}

/// Takes the code that was kept, if one was.
pub fn take_code(pamh: &mut PamHandle) -> Option<Secret> {
    // SAFETY: nobody but this copy of the module uses that name, and all that it keeps there is
    // `Kept`. It stays where it is for as long as it is borrowed: `pamh` is borrowed mutably by this
    // function alone, and only libpam's `pam_set_data` and `pam_end` free it.
    let kept = unsafe { pamh.get_data::<Kept>(&kept_under()) };
    kept.ok()?.take()
}

/// The name has an address in it that no other copy of the module in this process has, be it of
/// another version in the same stack: what one keeps is no value of the other's types.
fn kept_under() -> String {
    static HERE: u8 = 0;
    format!("pam_mfa forward_pass {:p}", &raw const HERE)
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
