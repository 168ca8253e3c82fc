//! Passwords that were right a moment ago, so that a client which sends one with every request is not charged for a slow
//! hash each time. Nothing of a password can be got back out: what is kept is a keyed hash.

use sha2::{Digest as _, Sha256};

/// A power of two. Clients that hash to one place take turns there.
const PLACES: usize = 1024;

type Proof = [u8; 32];

/// The latest successes, a bounded number of them.
pub(crate) struct Remembered {
    key: [u8; 16],
    places: Vec<Option<Proof>>,
}

impl Remembered {
    /// `key` is random, and nobody else's.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key, places: Vec::new() }
    }

    /// What stands for a name with its password.
    pub(crate) fn proof(&self, name: &str, password: &str) -> Proof {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX).to_le_bytes();
        let hash = Sha256::new().chain_update(self.key).chain_update(length).chain_update(name);
        hash.chain_update(password).finalize().into()
    }

    pub(crate) fn has(&self, proof: &Proof) -> bool {
        self.places.get(place(proof)).is_some_and(|known| known.as_ref() == Some(proof))
    }

    pub(crate) fn add(&mut self, proof: Proof) {
        // The memory is there once somebody needs it.
        self.places.resize(PLACES, None);
        if let Some(known) = self.places.get_mut(place(&proof)) {
            *known = Some(proof);
        }
    }
}

fn place(proof: &Proof) -> usize {
    let [first, second, ..] = *proof;
    usize::from(u16::from_le_bytes([first, second])) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_there_and_it_stays_bounded() {
        let mut remembered = Remembered::new([7; 16]);
        let proof = remembered.proof("ann", "secret");
        assert!(!remembered.has(&proof));
        remembered.add(proof);
        assert!(remembered.has(&proof));
        for (name, password) in [("ann", "other"), ("an", "nsecret"), ("bob", "secret")] {
            assert!(!remembered.has(&remembered.proof(name, password)), "{name} {password}");
        }
        for number in 0..10_000 {
            remembered.add(remembered.proof("ann", &number.to_string()));
        }
        assert_eq!(remembered.places.len(), PLACES);
        assert_ne!(proof, Remembered::new([8; 16]).proof("ann", "secret"), "another key, another proof");
    }
}
