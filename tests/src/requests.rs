//! Requests as a program of a user's own making sends them.

use mfa_protocol::PROTOCOL_VERSION;
use mfa_protocol::message::{
    Action, DeviceKind, LoginRequest, ManageRequest, NewDevice, Request, Terminal,
};
use mfa_protocol::relay::encode;

/// A login of which nothing is said but whose it is.
pub fn login(user: &str) -> LoginRequest {
    LoginRequest { user: user.as_bytes().to_vec(), ..LoginRequest::default() }
}

/// A request about the record of `user`, or of whoever asks.
pub fn manage(user: Option<&str>, action: Action) -> Request {
    let user = user.map(|user| user.as_bytes().to_vec());
    Request::Manage(ManageRequest { user, action })
}

/// A phone, which the verifier makes a key for.
pub fn new_device(confirm: bool) -> NewDevice {
    NewDevice {
        kind: DeviceKind::Totp,
        label: Some("phone".to_owned()),
        algorithm: None,
        digits: None,
        period: None,
        counter: None,
        secret: None,
        confirm,
        guided: false,
        show: false,
        terminal: Terminal { columns: 80, utf8: true },
    }
}

/// What is sent to ask for that.
pub fn bytes_of(request: &Request) -> Vec<u8> {
    framed(&[&PROTOCOL_VERSION.to_le_bytes(), encode(request).unwrap().as_slice()].concat())
}

/// A message of these bytes, whatever they are.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length, payload].concat()
}
