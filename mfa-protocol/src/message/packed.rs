//! Parts of messages that only `mfa-setup` and the verifier read.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::frame::FrameError;
use crate::relay::{decode, encode};

/// A part that is encoded by itself: the module, which is loaded into every program that asks PAM, takes messages
/// apart, too, and need not know how to read this. (Two such parts made it 28 KiB larger.)
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Packed<T>(Secret, PhantomData<T>);

impl<T: Serialize> Packed<T> {
    /// Encodes it.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn new(part: &T) -> Result<Self, FrameError> {
        let mut bytes = encode(part)?;
        Ok(Self(Secret::new(std::mem::take(&mut *bytes)), PhantomData))
    }
}

impl<T: DeserializeOwned> Packed<T> {
    /// Decodes it.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn open(&self) -> Result<T, FrameError> {
        decode(self.0.expose())
    }
}
