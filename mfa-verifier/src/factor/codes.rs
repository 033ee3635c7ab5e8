//! Backup codes.
//!
//! A code is 15 characters of an alphabet of 31 without look-alikes ([`backup_code`]), 74 bits,
//! shown as `xxxxx-xxxxx-xxxxx`; NIST SP 800-63B (5.1.2.1) asks look-up secrets for 64 where they
//! are not salted and stretched. Only Argon2id hashes are kept, with one salt for the batch: 19 MiB,
//! t = 2, p = 1 (18 ms on the machine that measured it), so an attempt costs one evaluation, whatever
//! the batch.

use std::collections::TryReserveError;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use mfa_protocol::Secret;
pub use mfa_protocol::backup_code::has_shape;
use mfa_protocol::backup_code::{self, ALPHABET, LENGTH};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::turnstile::{Turn, Turnstile};
use crate::record::{BackupCode, BackupCodes};
use crate::store::LOCK_BOUND;

/// Why there is no code or no hash.
#[derive(Debug, thiserror::Error)]
pub enum CodesError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Argon2 refused.
    #[error("the backup code cannot be hashed: {0}")]
    Hash(argon2::Error),
    /// There are no 19 MiB to be had.
    #[error("the backup code cannot be hashed: {0}")]
    Memory(#[from] TryReserveError),
    /// Too many others are being hashed.
    #[error("the backup code cannot be hashed: too many others are")]
    Busy,
}

/// How many codes one process hashes at once: each takes 19 MiB and a core.
static HASHERS: Turnstile = Turnstile::new(4);

/// How long a code waits for its turn: as long as for its user's lock.
const PATIENCE: Duration = LOCK_BOUND;

/// A new batch, and its codes as they are shown, this once.
pub fn new_batch(count: u8, now: u64) -> Result<(BackupCodes, Vec<Secret>), CodesError> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt)?;
    let mut hasher = Hasher::new()?;
    let mut shown = Vec::with_capacity(count.into());
    let mut codes = Vec::with_capacity(count.into());
    for _ in 0..count {
        let plain = random_code()?;
        codes.push(BackupCode { hash: hasher.hash(&plain, &salt)?, used: None });
        shown.push(backup_code::as_shown(&plain));
    }
    Ok((BackupCodes { batch: getrandom::u64()?, salt, codes, made: now }, shown))
}

/// A code that belongs to no batch.
pub struct SingleCode {
    /// In small letters and without dashes.
    pub plain: Zeroizing<String>,
    /// Its own salt.
    pub salt: [u8; 16],
    /// What is kept of it.
    pub hash: [u8; 16],
}

/// A batch of the scratch codes of another module, in the order in which they are given.
pub fn batch_of(plain: &[&str], now: u64) -> Result<BackupCodes, CodesError> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt)?;
    let mut hasher = Hasher::new()?;
    let code = |plain: &&str| Ok(BackupCode { hash: hasher.hash(plain, &salt)?, used: None });
    let codes = plain.iter().map(code).collect::<Result<_, CodesError>>()?;
    Ok(BackupCodes { batch: getrandom::u64()?, salt, codes, made: now })
}

/// Whether `plain` can be a scratch code of google-authenticator: eight digits, of which the first is not zero.
///
/// That is 26 bits where NIST SP 800-63B (5.1.2) asks for 64, or else for a limit of tries, and for salt and stretching.
/// So they are hashed like ours, and the limits of devices' codes hold for them as well: a hundred wrong ones in all,
/// but from where the owner got in lately. They work until their owner makes better ones. They look like the code of a
/// device of eight digits; who has brought none along has no such answer compared with backup codes, nor hashed: it
/// would cost everybody with such a device an evaluation at each login. So the time of an answer of eight digits
/// tells whether there are scratch codes.
#[must_use]
pub fn is_scratch_code(plain: &str) -> bool {
    plain.len() == 8 && !plain.starts_with('0') && plain.bytes().all(|byte| byte.is_ascii_digit())
}

/// A code that belongs to no batch.
pub fn new_code() -> Result<SingleCode, CodesError> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt)?;
    let plain = random_code()?;
    let hash = hash(&plain, &salt)?;
    Ok(SingleCode { plain, salt, hash })
}

/// The hash that is kept of a code.
pub fn hash(plain: &str, salt: &[u8; 16]) -> Result<[u8; 16], CodesError> {
    Hasher::new()?.hash(plain, salt)
}

/// Argon2id with its memory, which serves one code after another: what malloc makes of ten times
/// 19 MiB is 155 MiB.
struct Hasher {
    argon2: Argon2<'static>,
    memory: Vec<Block>,
    _turn: Turn<'static>,
}

impl Hasher {
    fn new() -> Result<Self, CodesError> {
        let params = Params::new(Params::DEFAULT_M_COST, 2, 1, Some(size_of::<Hash>()))
            .map_err(CodesError::Hash)?;
        let turn = HASHERS.enter(PATIENCE).ok_or(CodesError::Busy)?;
        let mut memory = Vec::new();
        // A want of memory is an error here, and not the end of everybody's logins.
        memory.try_reserve_exact(params.block_count())?;
        mfa_sys::prefer_large_pages(memory.spare_capacity_mut());
        memory.resize(params.block_count(), Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { argon2, memory, _turn: turn })
    }

    fn hash(&mut self, plain: &str, salt: &[u8; 16]) -> Result<Hash, CodesError> {
        let mut hash = Hash::default();
        self.argon2
            .hash_password_into_with_memory(plain.as_bytes(), salt, &mut hash, &mut self.memory)
            .map_err(CodesError::Hash)?;
        Ok(hash)
    }
}

type Hash = [u8; 16];

/// The place in the batch of the code with this hash, used or not. Takes the same time wherever it
/// is.
#[must_use]
pub fn position(batch: &BackupCodes, hash: &[u8; 16]) -> Option<usize> {
    let mut found = None;
    for (index, code) in batch.codes.iter().enumerate() {
        if bool::from(code.hash.ct_eq(hash)) {
            found = Some(index);
        }
    }
    found
}

fn random_code() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut code = Zeroizing::new(String::with_capacity(LENGTH));
    let mut random = Zeroizing::new([0u8; 64]);
    while code.len() < LENGTH {
        getrandom::fill(random.as_mut_slice())?;
        // A byte of 248 and more would make the first characters more likely: 248 = 8 × 31.
        let fair = random.iter().filter(|byte| **byte < 248);
        for byte in fair.take(LENGTH - code.len()) {
            let index = usize::from(*byte) % ALPHABET.len();
            code.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'2')));
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::Typed;

    #[test]
    fn a_code_as_it_is_shown_is_found_by_its_hash_and_by_no_other() {
        let (batch, shown) = new_batch(3, 0).unwrap();
        let Typed::BackupCode(plain) = Typed::of(shown[1].expose()) else { panic!() };
        assert_eq!(position(&batch, &hash(&plain, &batch.salt).unwrap()), Some(1));
        let (other, _) = new_batch(1, 0).unwrap();
        assert_eq!(position(&other, &hash(&plain, &other.salt).unwrap()), None);
    }

    #[test]
    fn the_memory_of_one_hash_leaves_no_trace_in_the_next() {
        let (mut hasher, salt) = (Hasher::new().unwrap(), [7; 16]);
        let once = hasher.hash("abcdefghjkmnpqr", &salt).unwrap();
        hasher.hash("23456789abcdefg", &[8; 16]).unwrap();
        assert_eq!(hasher.hash("abcdefghjkmnpqr", &salt).unwrap(), once);
        assert_eq!(hash("abcdefghjkmnpqr", &salt).unwrap(), once);
    }

    #[test]
    fn codes_have_74_bits_and_five_characters_to_a_group() {
        let bits = 15.0 * f64::from(31).log2();
        assert!(bits > 74.0, "{bits}");
        let (_, shown) = new_batch(10, 0).unwrap();
        for code in shown {
            let text = code.expose_str().unwrap().to_owned();
            assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5], "{text}");
            assert!(has_shape(&text.replace('-', "")));
        }
    }

    #[test]
    fn every_character_of_the_alphabet_comes_about_equally_often() {
        let mut counts = [0u32; 31];
        for _ in 0..3_100 {
            for byte in random_code().unwrap().bytes() {
                counts[ALPHABET.iter().position(|c| *c == byte).unwrap()] += 1;
            }
        }
        // 1,500 expected for each, standard deviation 38: eight of them.
        assert!(counts.iter().all(|count| (1_200..1_800).contains(count)), "{counts:?}");
    }
}
