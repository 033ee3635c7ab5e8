//! Who logs in, from where: what the host has told libpam, copied before anything is asked. An
//! item that is borrowed may dangle as soon as the host's conversation has run.

use std::ffi::CStr;
use std::ops::Deref;

use mfa_protocol::Secret;
use mfa_protocol::message::LoginRequest;
use pam::items::{AuthTok, Item, RHost, RUser, Service, Tty};
use pam::module::PamHandle;

use crate::arguments::Arguments;
use crate::ffi;
use crate::outcome::NoReply;

/// The longest user name, answer or item that is passed on.
pub const MAX_TEXT: usize = 1024;

/// The longest `SSH_AUTH_INFO_0`: several methods, each with a large key or certificate, and still
/// well inside a frame.
const MAX_AUTH_INFO: usize = 32 * 1024;

/// Stands for an item that is too long. No address, no terminal and no service is called so.
const TOO_LONG: &str = "?";

/// Gathers the request of this login.
pub fn gather(pamh: &mut PamHandle, arguments: &Arguments) -> Result<LoginRequest, NoReply> {
    let user = user(pamh)?;
    let service = service(pamh);
    let password = password(pamh);
    Ok(LoginRequest {
        user,
        rhost: text::<RHost>(pamh),
        tty: text::<Tty>(pamh),
        ruser: text::<RUser>(pamh),
        ssh_auth_info: ssh_auth_info(pamh, &service),
        service,
        password_given: password.is_some(),
        password: password
            .filter(|password| arguments.try_first_pass && password.expose().len() <= MAX_TEXT),
        nullok: arguments.nullok,
        prompt: arguments.prompt.clone(),
        echo: arguments.echo,
        debug: arguments.debug,
    })
}

/// A copy of `PAM_USER`, for which the host may ask the person first.
pub fn user(pamh: &mut PamHandle) -> Result<Vec<u8>, NoReply> {
    // Cut short it would be somebody else's name.
    let user = ffi::user(pamh).filter(|user| (1..=MAX_TEXT).contains(&user.len()));
    user.ok_or(NoReply::NoUser)
}

/// A copy of `PAM_SERVICE`.
pub fn service(pamh: &PamHandle) -> String {
    text::<Service>(pamh).unwrap_or_default()
}

/// A copy of `PAM_AUTHTOK`. An empty one proves nothing and repeats nothing, so it is none.
pub fn password(pamh: &PamHandle) -> Option<Secret> {
    let password = pamh.get_item::<AuthTok>().ok().flatten()?;
    Some(Secret::new(password.as_bytes().to_vec())).filter(|password| !password.is_empty())
}

/// The request in one line, for the log under `debug`: no password, and no more of the methods
/// than that there are any.
pub fn describe(request: &LoginRequest) -> String {
    format!(
        "user={} service={} rhost={} tty={} ruser={} ssh_auth_info={} password_given={}",
        String::from_utf8_lossy(&request.user),
        request.service,
        request.rhost.as_deref().unwrap_or("-"),
        request.tty.as_deref().unwrap_or("-"),
        request.ruser.as_deref().unwrap_or("-"),
        request.ssh_auth_info.is_some(),
        request.password_given,
    )
}

/// The methods that sshd has seen succeed. Other services do not set this variable; there it could
/// only come from somewhere that is not to be believed.
fn ssh_auth_info(pamh: &mut PamHandle, service: &str) -> Option<String> {
    if service != "sshd" {
        return None;
    }
    let value = ffi::environment(pamh, c"SSH_AUTH_INFO_0")?;
    // Too long is taken for not there: it grants nothing.
    (1..=MAX_AUTH_INFO).contains(&value.len()).then(|| lossy(&value))
}

fn text<'a, T>(pamh: &'a PamHandle) -> Option<String>
where
    T: Item<'a> + Deref<Target = &'a CStr>,
{
    bounded(pamh.get_item::<T>().ok().flatten()?.to_bytes())
}

fn bounded(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        0 => None,
        1..=MAX_TEXT => Some(lossy(bytes)),
        _ => Some(TOO_LONG.to_owned()),
    }
}

/// What is not UTF-8 becomes U+FFFD, which is in no address and in no name that a policy lists.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn an_item_is_none_itself_or_never_an_address() {
        assert_eq!(bounded(b""), None);
        assert_eq!(bounded(b"192.0.2.7").as_deref(), Some("192.0.2.7"));
        let long = [b'1'; MAX_TEXT + 1];
        assert_eq!(bounded(&long[..MAX_TEXT]).map(|text| text.len()), Some(MAX_TEXT));
        for hostile in [long.as_slice(), b"192.0.2.7\xff", b"\xff::1"] {
            let text = bounded(hostile).unwrap();
            assert!(text.parse::<IpAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_description_holds_neither_password_nor_keys() {
        let shown = describe(&LoginRequest {
            user: b"alice\xff".to_vec(),
            service: "sshd".into(),
            ssh_auth_info: Some("publickey ssh-ed25519 AAAAC3Nz".into()),
            password_given: true,
            password: Some(Secret::from("hunter2")),
            ..Default::default()
        });
        assert!(!shown.contains("hunter2") && !shown.contains("AAAAC3Nz"), "{shown}");
        assert!(shown.contains("rhost=- ") && shown.ends_with("password_given=true"), "{shown}");
    }
}
