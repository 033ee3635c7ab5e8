//! Bringing back a device that is far off, in conversation.

use mfa_protocol::escape::escape;
use mfa_protocol::message::{DeviceKind, Failure, FailureKind};
use mfa_protocol::{Conversation, Prompt, Style};

use crate::factor::Typed;
use crate::factor::otp::far::{CODES, Search};
use crate::failure::{failure, of_conversation, usage};
use crate::record::{Device, MovingFactor, UserRecord};
use crate::world::World;

/// How many rows of codes may be begun.
const TRIES: usize = 5;

/// What the codes are asked for with, in their order.
const PROMPTS: [&str; CODES] =
    ["The code that it shows now: ", "The one after it: ", "And the one after that: "];

/// Asks for consecutive codes until they show where the device stands.
pub(crate) fn resync(
    world: &World,
    device: &Device,
    conversation: &mut dyn Conversation,
) -> Result<Found, Failure> {
    if device.kind() == DeviceKind::Totp {
        conversation
            .tell(Style::Info, "Three codes in a row are needed: it takes a minute or two.");
    }
    for _ in 0..TRIES {
        if let Some(moving) = row(world, device, conversation)? {
            return Ok(Found(moving));
        }
        let error = format!("That is no code in a row of \"{}\".", escape(&device.label));
        conversation.tell(Style::Error, &error);
    }
    Err(failure(
        FailureKind::Refused,
        "no three codes in a row were given",
        "nothing was changed; a clock more than 12 hours off has to be set first",
    ))
}

fn row(
    world: &World,
    device: &Device,
    conversation: &mut dyn Conversation,
) -> Result<Option<MovingFactor>, Failure> {
    let mut search = Search::new(device, (world.now)());
    for text in PROMPTS {
        let answer = conversation.ask(&Prompt::visible(text)).map_err(of_conversation)?;
        match Typed::of(answer.into_text().expose()) {
            Typed::OneTimeCode(code) if search.take(&code, (world.now)()) => {}
            _ => return Ok(None),
        }
    }
    Ok(search.found())
}

/// Where a device was found to stand.
#[derive(Debug)]
pub(crate) struct Found(MovingFactor);

impl Found {
    /// Sets the device right, unless a later code of it was accepted meanwhile.
    pub(crate) fn apply(&self, record: &mut UserRecord, asked: &Device) -> Result<(), Failure> {
        // After a reset numbers begin anew.
        let same = |device: &&mut Device| {
            device.id == asked.id && device.key.expose() == asked.key.expose()
        };
        let device = record.devices.iter_mut().find(same);
        let device = device.ok_or_else(|| usage("the device is gone", "see: mfa-setup status"))?;
        let later = match (&self.0, &device.moving) {
            (MovingFactor::Time { last_step, .. }, MovingFactor::Time { last_step: last, .. }) => {
                last_step > last
            }
            (MovingFactor::Counter { next, .. }, MovingFactor::Counter { next: last, .. }) => {
                next > last
            }
            _ => false,
        };
        if !later {
            return Err(failure(
                FailureKind::Refused,
                "a later code of the device was used meanwhile",
                "nothing was changed; try again with the next codes",
            ));
        }
        device.moving = self.0.clone();
        device.failures = 0;
        let used = [device.clone()];
        record.pass_over_codes_of(&used);
        Ok(())
    }
}
