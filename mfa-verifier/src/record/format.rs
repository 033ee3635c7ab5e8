//! From a record to bytes and back.

mod version_1;

use serde::Deserialize;
use zeroize::Zeroizing;

use self::version_1::Version1;
use super::UserRecord;

/// The version that is written.
pub const FORMAT: u8 = 2;

/// Bytes of an encoded record: sealed, it must stay below a quarter of sled's segment of 16 KiB.
pub const MAX_ENCODED: usize = 3_900;

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error("the record has format {0}, which is newer than this program")]
    Newer(u8),
    /// Not a record, although the seal was whole.
    #[error("the record cannot be decoded")]
    Malformed,
    /// More than [`MAX_ENCODED`] bytes.
    #[error("the record would grow beyond its bound")]
    TooLarge,
}

impl UserRecord {
    /// The bytes to seal.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let mut bytes = Vec::with_capacity(MAX_ENCODED);
        bytes.push(FORMAT);
        let bytes = postcard::to_extend(self, bytes)
            .map(Zeroizing::new)
            .map_err(|_| RecordError::Malformed)?;
        if bytes.len() > MAX_ENCODED { Err(RecordError::TooLarge) } else { Ok(bytes) }
    }

    /// The record in unsealed bytes.
    ///
    /// Whoever changes a field of a version that was released raises [`FORMAT`], keeps the fields of that version
    /// in a struct that turns into a [`UserRecord`], and gives it an arm here: an older record must stay readable.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes {
            [FORMAT, fields @ ..] => decode::<Self>(fields),
            [1, fields @ ..] => decode::<Version1>(fields),
            [newer, ..] if *newer > FORMAT => Err(RecordError::Newer(*newer)),
            _ => Err(RecordError::Malformed),
        }
    }
}

/// The record in the fields of one version, and in nothing more.
fn decode<'a, T: Deserialize<'a> + Into<UserRecord>>(
    fields: &'a [u8],
) -> Result<UserRecord, RecordError> {
    match postcard::take_from_bytes::<T>(fields) {
        Ok((record, [])) => Ok(record.into()),
        _ => Err(RecordError::Malformed),
    }
}

#[cfg(test)]
mod tests;
