//! Who of a queue is at its head: one, or several that may hold the lock together.

use super::member::{Member, Stage};
use super::turn::Giver;
use crate::engine::request::PositionId;
use crate::values::mode::Ahead;
use crate::world::clock::Moment;
use std::sync::Arc;

/// The members at the head, in the order in which they came there. One alone costs no allocation.
#[derive(Debug)]
pub(super) struct Heads<H> {
    first: Option<Head<H>>,
    beside: Vec<Head<H>>,
}

/// A member at the head.
#[derive(Debug)]
pub(super) struct Head<H> {
    pub(super) member: Arc<Member>,
    /// Its turn, and when it has to be taken at the latest.
    pub(super) given: Option<(Giver<H>, Moment)>,
}

impl<H> Default for Heads<H> {
    fn default() -> Self {
        Self { first: None, beside: Vec::new() }
    }
}

impl<H> Heads<H> {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Head<H>> {
        self.first.iter().chain(&self.beside)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Head<H>> {
        self.first.iter_mut().chain(&mut self.beside)
    }

    pub(super) fn has(&self, id: PositionId) -> bool {
        self.iter().any(|head| head.member.id == id)
    }

    /// One that holds the lock, or the first of them.
    pub(super) fn foremost(&self) -> Option<&Arc<Member>> {
        let holds = |head: &&Head<H>| matches!(head.member.progress().stage, Stage::Held(_));
        let holder = if self.beside.is_empty() { None } else { self.iter().find(holds) };
        holder.or(self.first.as_ref()).map(|head| &head.member)
    }

    /// What they are for the first of those that wait.
    pub(super) fn ahead(&self) -> Ahead {
        let mut ahead = Ahead::default();
        self.iter().for_each(|head| ahead.push(head.member.mode()));
        ahead
    }

    /// Puts it before those that are there.
    pub(super) fn push_first(&mut self, member: Arc<Member>) {
        if let Some(next) = self.first.replace(Head { member, given: None }) {
            self.beside.insert(0, next);
        }
    }

    pub(super) fn push(&mut self, member: Arc<Member>, given: Option<(Giver<H>, Moment)>) {
        let head = Head { member, given };
        match &self.first {
            None => self.first = Some(head),
            Some(_) => self.beside.push(head),
        }
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, id: PositionId) -> bool {
        if self.first.as_ref().is_some_and(|first| first.member.id == id) {
            self.first = if self.beside.is_empty() { None } else { Some(self.beside.remove(0)) };
            return true;
        }
        let place = self.beside.iter().position(|head| head.member.id == id);
        place.map(|place| self.beside.remove(place)).is_some()
    }

    /// Puts another in the place of `id`.
    pub(super) fn replace(&mut self, id: PositionId, member: Arc<Member>, given: Option<(Giver<H>, Moment)>) {
        if let Some(head) = self.iter_mut().find(|head| head.member.id == id) {
            *head = Head { member, given };
        }
    }
}
