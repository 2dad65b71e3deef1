//! What the queue must do, by the rule of the modes alone.

use crate::values::mode::Mode;

/// What happens to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Join(usize),
    /// Looks whether its turn has come, as its task does when woken.
    Look(usize),
    /// Its receiver goes, as the first part of a dropped future does.
    StopListening(usize),
    /// Its position goes.
    Leave(usize),
    /// Hands off what it has, to whom it fits.
    HandOff(usize, Fits),
    /// Those at the head did not take their turns in time.
    PassOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    All,
    Odd,
    Nobody,
}

impl Fits {
    pub(super) const EACH: [Self; 3] = [Self::All, Self::Odd, Self::Nobody];

    pub(super) fn fits(self, member: usize) -> bool {
        match self {
            Self::All => true,
            Self::Odd => member % 2 == 1,
            Self::Nobody => false,
        }
    }
}

/// What a member hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hears {
    Nothing,
    /// It is at the head, with something handed off or without.
    Turn {
        handed_off: bool,
    },
    /// It knows that it is at the head.
    Knows,
    /// Its turn went to the next one, which it hears when it looks.
    Passed,
    /// It does not listen any more.
    Deaf,
}

/// What the queue must look like: who is at its head and who waits, in order, and what each member that has a position hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    pub(super) modes: &'static [Mode],
    pub(super) heads: Vec<usize>,
    pub(super) waiting: Vec<usize>,
    pub(super) hears: Vec<Option<Hears>>,
}

impl Model {
    pub(super) fn new(modes: &'static [Mode]) -> Self {
        Self { modes, heads: Vec::new(), waiting: Vec::new(), hears: vec![None; modes.len()] }
    }

    /// What can happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (member, hears) in self.hears.iter().enumerate() {
            match hears {
                None => steps.push(Step::Join(member)),
                Some(Hears::Nothing | Hears::Turn { .. } | Hears::Passed) => {
                    steps.extend([Step::Look(member), Step::StopListening(member), Step::Leave(member)]);
                }
                Some(Hears::Knows) => {
                    steps.push(Step::Leave(member));
                    steps.extend(Fits::EACH.map(|fits| Step::HandOff(member, fits)));
                }
                Some(Hears::Deaf) => steps.push(Step::Leave(member)),
            }
        }
        if !self.given().is_empty() {
            steps.push(Step::PassOver);
        }
        steps
    }

    /// Those at the head who have not taken their turns.
    pub(super) fn given(&self) -> Vec<usize> {
        let is_given = |head: &usize| matches!(self.hears[*head], Some(Hears::Turn { .. }));
        self.heads.iter().copied().filter(is_given).collect()
    }

    /// Whether this member would hold the lock behind those.
    fn would_hold(&self, member: usize, ahead: &[usize]) -> bool {
        self.modes[member].holds_behind(ahead.iter().map(|other| self.modes[*other]))
    }

    /// Returns whether it is at the head.
    pub(super) fn join(&mut self, member: usize) -> bool {
        let is_head = self.would_hold(member, &[self.heads.as_slice(), &self.waiting].concat());
        if is_head {
            self.heads.push(member)
        } else {
            self.waiting.push(member)
        }
        is_head
    }

    pub(super) fn pass_over(&mut self) {
        let mut passed = self.given();
        passed.iter().for_each(|member| self.hears[*member] = Some(Hears::Passed));
        // As they came.
        passed.sort_by_key(|member| self.heads.iter().position(|head| head == member));
        for member in passed {
            self.heads.retain(|head| *head != member);
            self.let_move();
        }
    }

    /// Those who may be at the head now, and listen, are woken.
    fn let_move(&mut self) {
        while let Some(next) = self.waiting.first().copied().filter(|next| self.would_hold(*next, &self.heads)) {
            self.waiting.remove(0);
            if let Some(hears @ Hears::Nothing) = &mut self.hears[next] {
                *hears = Hears::Turn { handed_off: false };
                self.heads.push(next);
            }
        }
    }

    /// What is handed off is with the next one now; `false` if it comes back.
    pub(super) fn hand_off(&mut self, member: usize, fits: Fits) -> bool {
        let Some(place) = self.heads.iter().position(|head| *head == member) else { return false };
        let fits = |next: usize| fits.fits(next) && self.modes[next] == self.modes[member];
        while let Some(next) = self.waiting.first().copied().filter(|next| fits(*next)) {
            self.waiting.remove(0);
            if self.hears[next] == Some(Hears::Nothing) {
                self.hears[next] = Some(Hears::Turn { handed_off: true });
                self.heads[place] = next;
                return true;
            }
        }
        false
    }

    pub(super) fn leave(&mut self, member: usize) {
        self.hears[member] = None;
        let was = (self.heads.len(), self.waiting.len());
        self.heads.retain(|other| *other != member);
        self.waiting.retain(|other| *other != member);
        // One that was passed over is in no queue.
        if was != (self.heads.len(), self.waiting.len()) {
            self.let_move();
        }
    }
}
