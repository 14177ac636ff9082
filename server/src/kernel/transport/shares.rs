//! Counts of what is open at a time: in all, and of one owner.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of something there may be.
#[derive(Debug)]
pub struct Shares<K: Eq + Hash> {
    total: usize,
    each: usize,
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    total: usize,
    by_owner: HashMap<K, usize>,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// That of all together.
    Total,
    /// That of this owner.
    Owner,
}

/// One of what is counted; given back when dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    owner: Option<K>,
    shares: Arc<Shares<K>>,
}

impl<K: Eq + Hash + Copy> Shares<K> {
    /// At most `total`, and at most `each` of one owner.
    #[must_use]
    pub fn new(total: usize, each: usize) -> Arc<Self> {
        let held = Held { total: 0, by_owner: HashMap::new() };
        Arc::new(Self { total, each, held: Mutex::new(held) })
    }

    /// Takes one for this owner; with no owner only the total counts.
    pub fn take(self: &Arc<Self>, owner: Option<K>) -> Result<Share<K>, Full> {
        let mut held = self.held();
        if held.total >= self.total {
            return Err(Full::Total);
        }
        if let Some(owner) = owner {
            let count = held.by_owner.entry(owner).or_default();
            if *count >= self.each {
                return Err(Full::Owner);
            }
            *count += 1;
        }
        held.total += 1;
        drop(held);
        Ok(Share { owner, shares: Arc::clone(self) })
    }
}

impl<K: Eq + Hash> Shares<K> {
    fn held(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        held.total -= 1;
        let Some(owner) = self.owner.take() else { return };
        if let Entry::Occupied(mut count) = held.by_owner.entry(owner) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let shares = Shares::new(3, 2);
        let first = shares.take(Some('a')).unwrap();
        let _second = shares.take(Some('a')).unwrap();
        assert_eq!(shares.take(Some('a')).unwrap_err(), Full::Owner);
        let _third = shares.take(None).unwrap();
        assert_eq!(shares.take(Some('b')).unwrap_err(), Full::Total);
        drop(first);
        drop(shares.take(Some('a')).unwrap());
        assert_eq!(shares.held().by_owner.len(), 1);
        drop(shares.take(Some('b')).unwrap());
        assert_eq!(shares.held().by_owner.len(), 1, "nobody is remembered");
    }
}
