//! A device that makes codes, from its key on a screen to a first code of it that is right.

use mfa_protocol::message::{Algorithm, Failure, FailureKind};
use mfa_protocol::{Conversation, Prompt, Secret, Style};
use zeroize::Zeroizing;

use super::qr::{self, Drawing};
use super::{TRIES, key};
use crate::factor::Typed;
use crate::factor::otp::{self, Finding};
use crate::failure::{failure, of_conversation};
use crate::record::{Device, MovingFactor};
use crate::words::OTHER_CHARACTERS;
use crate::world::World;

/// What is asked of who has been shown the key.
const FIRST_CODE: &str = "The code that it shows now: ";

/// The same where another picture may be needed.
const OR_PLAIN_OR_INVERTED: &str =
    "The code that it shows now, or a for plain ASCII, i to invert the picture: ";
const OR_PLAIN: &str = "The code that it shows now, or a for plain ASCII: ";
const OR_INVERTED: &str = "The code that it shows now, or i to invert the picture: ";

/// How far off, in seconds, a device's clock is looked for when its first code is wrong.
const FARTHEST_CLOCK: i64 = 24 * 3_600;

/// A device as the person who enrols it sees it.
pub(super) struct View<'a> {
    pub(super) device: &'a Device,
    pub(super) uri: &'a str,
    pub(super) columns: u16,
}

impl View<'_> {
    /// Warns of settings that not every app honours.
    pub(super) fn warn(&self, conversation: &mut dyn Conversation) {
        if is_unusual(self.device) {
            conversation.tell(
                Style::Info,
                "Many apps pass over other settings than SHA-1, 6 digits and 30 seconds,\n\
                 and then show wrong codes.\n",
            );
        }
    }

    /// Shows the key, and a picture of it where it fits. Whether it did.
    pub(super) fn show(&self, drawing: Drawing, conversation: &mut dyn Conversation) -> bool {
        let key = key::grouped(&self.device.key);
        let picture = qr::draw(self.uri, self.columns, drawing);
        match &picture {
            // Text comes first: ssh puts who logs in where before the first line.
            Some(picture) => {
                conversation.tell(Style::Info, "Scan this with the app:");
                // A face that knows colours would draw it the other way round once more.
                let style = if drawing.inverted { Style::Info } else { Style::Qr };
                conversation.tell(style, picture);
                // On the next line, and the question on the one after it: a usual code and both
                // stand together on a terminal of 24 lines.
                tell_key("Or type this key into it: ", &key, conversation);
            }
            None => tell_key("Type this key into the app:\n\n  ", &key, conversation),
        }
        picture.is_some()
    }

    /// Asks for codes until one is right. What comes back has it marked as used. Where only the person
    /// knows what came of the picture that was `drawn`, others are drawn for who asks, each once.
    pub(super) fn confirm(
        &self,
        world: &World,
        mut drawn: Option<Drawing>,
        conversation: &mut dyn Conversation,
    ) -> Result<MovingFactor, Failure> {
        let device = self.device;
        let mut tries = 0;
        while tries < TRIES {
            let prompt = Prompt::visible(question(drawn));
            let answer = conversation.ask(&prompt).map_err(of_conversation)?.into_text();
            if let Some(other) = drawn.and_then(|drawn| another(drawn, &answer)) {
                drawn = self.show(other, conversation).then_some(other);
                continue;
            }
            tries += 1;
            let now = (world.now)();
            let told = match Typed::of(answer.expose()) {
                Typed::OneTimeCode(code) if code.len() == usize::from(device.digits) => {
                    match otp::examine(device, &code, now, world.config) {
                        Finding::Right(moving) => return Ok(moving),
                        _ => explain_wrong(device, &code, now),
                    }
                }
                Typed::NotAscii => OTHER_CHARACTERS.to_owned(),
                _ => format!("A code has {} digits.", device.digits),
            };
            conversation.tell(Style::Error, &told);
        }
        Err(failure(
            FailureKind::Refused,
            "no right code was given",
            "nothing was changed; set the clocks of device and host, and try again",
        ))
    }
}

/// The question behind a picture that was drawn so.
fn question(drawn: Option<Drawing>) -> &'static str {
    match drawn {
        Some(Drawing { utf8: true, inverted: false }) => OR_PLAIN_OR_INVERTED,
        Some(Drawing { utf8: true, inverted: true }) => OR_PLAIN,
        Some(Drawing { utf8: false, inverted: false }) => OR_INVERTED,
        Some(Drawing { utf8: false, inverted: true }) | None => FIRST_CODE,
    }
}

/// The picture that is asked for in place of the one that was drawn so.
fn another(drawn: Drawing, answer: &Secret) -> Option<Drawing> {
    match answer.expose().trim_ascii() {
        b"a" | b"A" if drawn.utf8 => Some(Drawing { utf8: false, ..drawn }),
        b"i" | b"I" if !drawn.inverted => Some(Drawing { inverted: true, ..drawn }),
        _ => None,
    }
}

fn tell_key(what_to_do: &str, key: &str, conversation: &mut dyn Conversation) {
    let mut text = Zeroizing::new(String::with_capacity(what_to_do.len() + key.len() + 1));
    text.push_str(what_to_do);
    text.push_str(key);
    text.push('\n');
    conversation.tell(Style::Info, &text);
}

fn is_unusual(device: &Device) -> bool {
    let unusual_period = matches!(device.moving, MovingFactor::Time { period, .. } if period != 30);
    device.algorithm != Algorithm::Sha1 || device.digits != 6 || unusual_period
}

/// What is wrong with a first code, without ever saying the right one.
fn explain_wrong(device: &Device, code: &str, now: u64) -> String {
    let MovingFactor::Time { period, .. } = device.moving else {
        return "That code is not right.".to_owned();
    };
    let reach = FARTHEST_CLOCK / i64::from(period.max(1));
    match otp::offset_within(device, code, now, reach) {
        Some(offset) => {
            let minutes = (offset.abs() * i64::from(period) + 59) / 60;
            let (hours, minutes) = (minutes / 60, minutes % 60);
            let direction = if offset > 0 { "ahead of" } else { "behind" };
            format!(
                "That code is right for another time:\n\
                 the device's clock is about {hours} h {minutes} min {direction} this host's.\n\
                 Set the clock that is wrong, and try again."
            )
        }
        None => "That code is not right.".to_owned(),
    }
}
