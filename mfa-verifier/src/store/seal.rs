//! Records as they lie on a disk: sealed with XChaCha20-Poly1305.
//!
//! # The format
//!
//! A header that anybody can read, then the ciphertext, whose last 16 bytes are the tag. Numbers
//! are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `pmfa` |
//! | 1 | version of the seal, 1 |
//! | 8 | key id: SHA-256(`"pam_mfa key id"` ‖ key), truncated |
//! | 4 | uid |
//! | 8 | name tag: SHA-256(`"pam_mfa name tag"` ‖ key ‖ name), truncated |
//! | 8 | revision |
//! | 24 | nonce, random |
//!
//! Associated data: the whole header, then the owner's uid (u32), the length of the owner's name
//! (u32) and the name. So a record opens for one key, one uid, one name, one revision, and nothing
//! else.
//!
//! The header's uid and name tag prove nothing. They are there to tell an administrator *why* a record
//! does not open: a uid that was given to somebody else looks otherwise like a broken disk. The
//! tag is keyed, because a plain hash in a stolen store would say who was enrolled.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use mfa_protocol::trusted::{self, Untrusted};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Owner, Revision};

/// Bytes of the header.
pub(super) const HEADER: usize = MAGIC.len() + 1 + 8 + 4 + 8 + 8 + NONCE;

/// Bytes that sealing adds.
pub(super) const OVERHEAD: usize = HEADER + 16;

const MAGIC: [u8; 4] = *b"pmfa";
const VERSION: u8 = 1;
const NONCE: usize = 24;
const KEY: usize = 32;

/// Tells one key from another, and nothing about either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The key that all records of a host are sealed with. Wiped when dropped.
pub struct SealingKey {
    bytes: Zeroizing<[u8; KEY]>,
    id: KeyId,
    opened: Mutex<Vec<Opened>>,
}

/// What was unsealed last. A login looks at each copy of a record twice, and the copies are the same but
/// for the older one in the summary.
struct Opened {
    owner: Owner,
    sealed: Vec<u8>,
    copy: Unsealed,
}

/// How many of those are remembered: as many as a summary has slots.
const REMEMBERED: usize = 2;

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not root's alone, or not there.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Others may read it.
    #[error("{} can be read by others than root", .0.display())]
    Readable(PathBuf),
    /// It has not 32 bytes.
    #[error("{} does not have exactly 32 bytes", .0.display())]
    Size(PathBuf),
    /// The system refused.
    #[error("the sealing key cannot be had: {0}")]
    Io(#[from] io::Error),
}

impl KeyError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Untrusted(untrusted) => untrusted.hint(),
            Self::Readable(path) => format!("chmod 600 {}", path.display()),
            Self::Size(path) => format!("put {} back from a backup of this host", path.display()),
            Self::Io(_) => "look at the file system and its permissions".to_owned(),
        }
    }
}

impl SealingKey {
    /// Reads the key of an absolute path: 32 bytes that only root can read or write.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let mut file = trusted::open_file(path)?;
        let metadata = file.metadata()?;
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyError::Readable(path.to_owned()));
        }
        if metadata.len() != KEY as u64 {
            return Err(KeyError::Size(path.to_owned()));
        }
        let mut bytes = Zeroizing::new([0; KEY]);
        file.read_exact(bytes.as_mut())?;
        Ok(Self::new(bytes))
    }

    /// A new random key.
    pub(super) fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY]);
        getrandom::fill(bytes.as_mut()).map_err(io::Error::other)?;
        Ok(Self::new(bytes))
    }

    fn new(bytes: Zeroizing<[u8; KEY]>) -> Self {
        let id = KeyId(short_hash(&[b"pam_mfa key id", bytes.as_slice()]));
        Self { bytes, id, opened: Mutex::default() }
    }

    /// The bytes themselves, for the one place that writes them to the key file.
    pub(super) fn expose(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals the encoding of a record.
    pub(super) fn seal(
        &self,
        owner: &Owner,
        revision: Revision,
        plain: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let header = Header {
            key: self.id,
            uid: owner.uid,
            name_tag: self.name_tag(&owner.name),
            revision,
            nonce,
        };
        let mut sealed = header.encode();
        let aad = associated(&sealed, owner);
        let cipher = XChaCha20Poly1305::new(self.cipher_key());
        let ciphertext = cipher
            .encrypt(&nonce.into(), Payload { msg: plain, aad: &aad })
            .map_err(|_| io::Error::other("the record cannot be sealed"))?;
        sealed.extend(ciphertext);
        Ok(sealed)
    }

    /// The encoding of the record in `sealed`, if it was sealed with this key for this owner.
    pub(super) fn unseal(&self, owner: &Owner, sealed: &[u8]) -> Result<Unsealed, NotAuthentic> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |opened: &&Opened| opened.sealed == sealed && opened.owner == *owner;
        if let Some(same) = opened.iter().find(same) {
            return Ok(same.copy.clone());
        }
        let copy = self.decrypt(owner, sealed)?;
        if opened.len() == REMEMBERED {
            opened.remove(0);
        }
        let sealed = sealed.to_vec();
        opened.push(Opened { owner: owner.clone(), sealed, copy: copy.clone() });
        Ok(copy)
    }

    fn decrypt(&self, owner: &Owner, sealed: &[u8]) -> Result<Unsealed, NotAuthentic> {
        let header = Header::decode(sealed)?;
        let (associated_header, ciphertext) =
            sealed.split_at_checked(HEADER).ok_or(NotAuthentic::Malformed)?;
        let aad = associated(associated_header, owner);
        let cipher = XChaCha20Poly1305::new(self.cipher_key());
        match cipher.decrypt(&header.nonce.into(), Payload { msg: ciphertext, aad: &aad }) {
            Ok(plain) => Ok(Unsealed { revision: header.revision, plain: Zeroizing::new(plain) }),
            Err(_) if header.key != self.id => Err(NotAuthentic::OtherKey(header.key)),
            Err(_) if header.uid != owner.uid => Err(NotAuthentic::OtherUid(header.uid)),
            Err(_) if header.name_tag != self.name_tag(&owner.name) => Err(NotAuthentic::OtherName),
            Err(_) => Err(NotAuthentic::Broken),
        }
    }

    fn cipher_key(&self) -> &chacha20poly1305::Key {
        (&*self.bytes).into()
    }

    fn name_tag(&self, name: &str) -> [u8; 8] {
        short_hash(&[b"pam_mfa name tag", self.bytes.as_slice(), name.as_bytes()])
    }
}

/// One authentic copy of a record.
#[derive(Clone, PartialEq)]
pub(super) struct Unsealed {
    pub(super) revision: Revision,
    /// The record's encoding.
    pub(super) plain: Zeroizing<Vec<u8>>,
}

/// Why bytes are no record of this owner: what the header says, so a hint and no proof. The ones
/// that say most come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NotAuthentic {
    /// Not even a header.
    Malformed,
    /// Right in all that can be read, and yet not whole.
    Broken,
    /// A seal of a newer program.
    Newer(u8),
    /// Sealed with another key.
    OtherKey(KeyId),
    /// The record of another uid.
    OtherUid(u32),
    /// The record of another user name.
    OtherName,
}

impl fmt::Display for NotAuthentic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed | Self::Broken => f.write_str("no copy of it is whole"),
            Self::Newer(version) => write!(f, "it was sealed by a newer program ({version})"),
            Self::OtherKey(id) => write!(f, "it was sealed with another key ({id})"),
            Self::OtherUid(uid) => write!(f, "it is the record of uid {uid}"),
            Self::OtherName => f.write_str(
                "it belongs to another user name: the uid has a new owner, or the user was renamed",
            ),
        }
    }
}

/// The part of a sealed record that can be read without the key.
pub(super) struct Header {
    key: KeyId,
    uid: u32,
    name_tag: [u8; 8],
    pub(super) revision: Revision,
    nonce: [u8; NONCE],
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OVERHEAD + crate::record::MAX_ENCODED);
        bytes.extend(MAGIC);
        bytes.push(VERSION);
        bytes.extend(self.key.0);
        bytes.extend(self.uid.to_le_bytes());
        bytes.extend(self.name_tag);
        bytes.extend(self.revision.0.to_le_bytes());
        bytes.extend(self.nonce);
        bytes
    }

    /// What the first [`HEADER`] bytes claim.
    pub(super) fn decode(sealed: &[u8]) -> Result<Self, NotAuthentic> {
        let rest = sealed.strip_prefix(&MAGIC).ok_or(NotAuthentic::Malformed)?;
        let (&version, mut rest) = rest.split_first().ok_or(NotAuthentic::Malformed)?;
        if version != VERSION {
            return Err(NotAuthentic::Newer(version));
        }
        Ok(Self {
            key: KeyId(take(&mut rest)?),
            uid: u32::from_le_bytes(take(&mut rest)?),
            name_tag: take(&mut rest)?,
            revision: Revision(u64::from_le_bytes(take(&mut rest)?)),
            nonce: take(&mut rest)?,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], NotAuthentic> {
    let (field, rest) = bytes.split_first_chunk().ok_or(NotAuthentic::Malformed)?;
    *bytes = rest;
    Ok(*field)
}

fn associated(header: &[u8], owner: &Owner) -> Vec<u8> {
    let length = u32::try_from(owner.name.len()).unwrap_or(u32::MAX);
    [header, &owner.uid.to_le_bytes(), &length.to_le_bytes(), owner.name.as_bytes()].concat()
}

fn short_hash(parts: &[&[u8]]) -> [u8; 8] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: u32, name: &str) -> Owner {
        Owner { uid, name: name.to_owned() }
    }

    #[test]
    fn a_seal_opens_for_its_owner_and_revision_only() {
        let key = SealingKey::generate().unwrap();
        let alice = owner(1000, "alice");
        let sealed = key.seal(&alice, Revision(7), b"secret").unwrap();
        assert_eq!(sealed.len(), OVERHEAD + 6);
        let copy = key.unseal(&alice, &sealed).unwrap();
        assert_eq!((copy.revision, copy.plain.as_slice()), (Revision(7), &b"secret"[..]));

        let refused = |key: &SealingKey, owner: &Owner, sealed: &[u8]| {
            key.unseal(owner, sealed).err().expect("it opens")
        };
        assert_eq!(refused(&key, &owner(1000, "bob"), &sealed), NotAuthentic::OtherName);
        assert_eq!(refused(&key, &owner(1001, "alice"), &sealed), NotAuthentic::OtherUid(1000));
        let other = SealingKey::generate().unwrap();
        assert_eq!(refused(&other, &alice, &sealed), NotAuthentic::OtherKey(key.id()));
        for length in 0..sealed.len() {
            assert!(key.unseal(&alice, &sealed[..length]).is_err(), "{length} bytes");
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(key.unseal(&alice, &flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn two_seals_of_one_record_differ() {
        let key = SealingKey::generate().unwrap();
        let alice = owner(1000, "alice");
        let seal = || key.seal(&alice, Revision(1), b"secret").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn debug_never_shows_the_key() {
        let key = SealingKey::new(Zeroizing::new([0xab; KEY]));
        assert!(!format!("{key:?}").contains("abab"));
        assert!(!format!("{key:?}").contains("171"));
    }
}
