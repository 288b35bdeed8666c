//! Keyset paging.

use serde::{Deserialize, Serialize};

/// How many items a list request wants, 1 to [`PageSize::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// Most items a page may have.
    pub const MAX: u16 = 200;
    /// Items of a page when nobody says.
    pub const DEFAULT: Self = Self(50);

    /// Returns the size, `None` outside 1 to [`PageSize::MAX`].
    pub fn new(size: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&size).then_some(Self(size))
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Items in order, and where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` on the last page.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Turns the items of a page, keeping its cursor.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> Page<U, C> {
        Page { items: self.items.into_iter().map(turn).collect(), next: self.next }
    }
}
