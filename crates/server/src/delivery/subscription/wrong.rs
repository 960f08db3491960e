//! What a connection with a bug makes of the live events that its feed hands it: the feed believes them sent.

use crate::{
    delivery::{SharedFeed, feed::Item},
    sabotage::{Bug, Bugs},
};

/// Of so many numbers in the log one has bad luck.
const UNLUCKY: u64 = 5;

/// What the connection has in its hands.
#[derive(Default)]
pub struct Wrong {
    /// An item that goes out before all that the feed has.
    next: Option<Item>,
}

impl Wrong {
    /// The next item for the wire, or what the connection takes for it.
    pub fn next(&mut self, bugs: &Bugs, feed: &SharedFeed) -> Option<Item> {
        if let Some(item) = self.next.take() {
            return Some(item);
        }
        loop {
            let item = feed.lock().take()?;
            let Item::Live(event, _) = &item else { return Some(item) };
            if bugs.on(Bug::LostRarely) {
                continue;
            }
            match event.seq % UNLUCKY {
                0 if bugs.on(Bug::LostEvent) => continue,
                3 if bugs.on(Bug::EventDoubled) => self.next = Some(item.clone()),
                _ if bugs.on(Bug::NeighboursSwapped) => return Some(self.swap(item, feed)),
                _ => {}
            }
            return Some(item);
        }
    }

    /// The item that comes behind this one in its place, if there is one and it is an event.
    fn swap(&mut self, item: Item, feed: &SharedFeed) -> Item {
        match feed.lock().take() {
            Some(next @ Item::Live(..)) => {
                self.next = Some(item);
                next
            }
            next => {
                self.next = next;
                item
            }
        }
    }
}
