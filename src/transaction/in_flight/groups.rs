use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::chunks::Chunks;
use super::finished::PeerId;
use super::group_request::{Asked, GroupRequest};
use super::peers::Peers;
use super::slots::Queue;
use crate::policy::RttEstimator;
use crate::servers::{Paths, ServerSet};
use crate::time::Timestamp;
use crate::transaction::PathReport;
use crate::transaction::grant::Grants;
use crate::transaction::group;
use crate::transaction::path_state::{PathState, States};
use crate::transport::PathIndex;

/// Names a group of servers of one [`InFlight`](super::InFlight).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub(super) u32);

/// Whom a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Addressee {
    /// This peer, and no other.
    Peer(PeerId),
    /// Those of a group that its servers' states call for.
    Group(GroupId),
}

impl From<PeerId> for Addressee {
    #[inline]
    fn from(peer: PeerId) -> Self {
        Self::Peer(peer)
    }
}

impl From<GroupId> for Addressee {
    #[inline]
    fn from(group: GroupId) -> Self {
        Self::Group(group)
    }
}

/// Servers of one service, of which each is a peer.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) shared: group::Group,
    /// The peers, by path.
    pub(super) members: Box<[u32]>,
    pub(super) budget: Grants,
    /// For a place at any member.
    pub(super) waiting: Queue,
    /// For a server that lives.
    pub(super) parked: Queue,
    /// Those that lived when it was last looked whether what is ready is for one that does not.
    pub(super) ready_for: Paths,
    /// A member was removed: nothing is asked any more.
    pub(super) is_dissolved: bool,
    is_touched: bool,
}

impl Group {
    pub(super) fn path_of(&self, peer: u32) -> Option<PathIndex> {
        let number = self.members.iter().position(|&member| member == peer)?;
        u32::try_from(number).ok().map(PathIndex::new)
    }

    pub(super) fn member(&self, path: PathIndex) -> Option<u32> {
        self.members.get(usize::try_from(path.number()).ok()?).copied()
    }

    /// Those of its paths of whose peers this holds.
    pub(super) fn paths_where(&self, mut holds: impl FnMut(u32) -> bool) -> Paths {
        let paths = Paths::first(self.members.len());
        let with = |all: Paths, path| if self.member(path).is_some_and(&mut holds) { all.with(path) } else { all };
        paths.iter().fold(Paths::NONE, with)
    }

    /// When a parked request is to carry a probe.
    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        self.shared.next_probe().filter(|_| self.parked.len() > 0)
    }
}

/// All groups, and which requests are theirs.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Of each slot: whose it is.
    slots: Chunks<Owner>,
    /// Of each peer: where it is a member.
    peers: Vec<Vec<(u32, PathIndex)>>,
    requests: Chunks<GroupRequest>,
    /// Of these, those that no slot has.
    free: Chunks<u32>,
    /// Something has happened that may move what waits.
    touched: Vec<u32>,
    /// Slots that copies of requests have.
    pub(super) aliases: u32,
    /// Where the bytes of a request lie that are being copied.
    pub(super) copy: Vec<u8>,
}

/// Which group's request a slot is, if it is one's: zero; the number of a group, doubled, plus two; or that of what is kept of
/// the request, doubled, plus one.
#[derive(Clone, Copy, Default, Debug)]
struct Owner(u32);

impl Owner {
    const NONE: Self = Self(0);

    const fn group(group: u32) -> Self {
        Self(group * 2 + 2)
    }

    const fn request(request: u32) -> Self {
        Self(request * 2 + 1)
    }

    /// The number of what is kept of the request.
    const fn as_request(self) -> Option<u32> {
        if self.0 % 2 == 1 { Some(self.0 / 2) } else { None }
    }
}

/// What is kept of groups.
impl Groups {
    pub(super) const fn new() -> Self {
        Self {
            groups: Vec::new(),
            slots: Chunks::new(),
            peers: Vec::new(),
            requests: Chunks::new(),
            free: Chunks::new(),
            touched: Vec::new(),
            aliases: 0,
            copy: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, members: &[PeerId], set: ServerSet, budget: Grants) -> GroupId {
        let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        for (path, member) in (0..).map(PathIndex::new).zip(members) {
            let place = member.0 as usize;
            if self.peers.len() <= place {
                self.peers.resize_with(place + 1, Vec::new);
            }
            if let Some(memberships) = self.peers.get_mut(place) {
                memberships.push((number, path));
            }
        }
        self.groups.push(Group {
            shared: group::Group::new(set),
            members: members.iter().map(|member| member.0).collect(),
            budget,
            waiting: Queue::EMPTY,
            parked: Queue::EMPTY,
            ready_for: Paths::first(members.len()),
            is_dissolved: false,
            is_touched: false,
        });
        GroupId(number)
    }

    #[inline]
    pub(super) fn are_used(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(number as usize)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.groups.len()).unwrap_or(u32::MAX)
    }

    /// When the first probe is to be sent for those that are parked.
    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        self.groups.iter().filter_map(Group::next_probe).min()
    }

    /// Those in which a peer is a member, and its path.
    pub(super) fn of_peer(&self, peer: u32) -> &[(u32, PathIndex)] {
        self.peers.get(peer as usize).map_or(&[], Vec::as_slice)
    }

    /// What waits in this group may move.
    pub(super) fn touch(&mut self, number: u32) {
        if let Some(group) = self.groups.get_mut(number as usize) {
            if !mem::replace(&mut group.is_touched, true) {
                self.touched.push(number);
            }
        }
    }

    /// A place at this peer is free.
    pub(super) fn touch_all_of(&mut self, peer: u32) {
        for at in 0..self.of_peer(peer).len() {
            if let Some(&(group, _)) = self.of_peer(peer).get(at) {
                if self.get(group).is_some_and(|group| group.waiting.len() > 0) {
                    self.touch(group);
                }
            }
        }
    }

    #[inline]
    pub(super) fn are_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(super) fn next_touched(&mut self) -> Option<u32> {
        let number = self.touched.pop()?;
        if let Some(group) = self.groups.get_mut(number as usize) {
            group.is_touched = false;
        }
        Some(number)
    }
}

/// What is kept of their requests.
impl Groups {
    fn owner(&self, slot: u32) -> Owner {
        self.slots.get(slot).copied().unwrap_or_default()
    }

    fn set(&mut self, slot: u32, owner: Owner) {
        while self.slots.len() <= slot {
            self.slots.push(Owner::NONE);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = owner;
        }
    }

    /// A slot has a request to this group.
    pub(super) fn begin(&mut self, slot: u32, group: GroupId) {
        self.set(slot, Owner::group(group.0));
    }

    /// The group whose request a slot has, or a copy of it.
    #[inline]
    pub(super) fn group_of(&self, slot: u32) -> Option<u32> {
        if !self.are_used() {
            return None;
        }
        let owner = self.owner(slot);
        match owner.as_request() {
            Some(request) => self.requests.get(request).map(|request| request.group),
            None => owner.0.checked_sub(2).map(|doubled| doubled / 2),
        }
    }

    /// What is kept of the request of a slot, or of the one that this has a copy of; `None` while it goes well.
    pub(super) fn request(&self, slot: u32) -> Option<&GroupRequest> {
        self.requests.get(self.owner(slot).as_request()?)
    }

    pub(super) fn request_mut(&mut self, slot: u32) -> Option<&mut GroupRequest> {
        self.requests.get_mut(self.owner(slot).as_request()?)
    }

    /// The slot whose bytes a request that is to be transmitted sends, to its peer.
    #[inline]
    pub(super) fn carrier(&self, slot: u32) -> u32 {
        if !self.are_used() {
            return slot;
        }
        self.request(slot).and_then(GroupRequest::carrier).unwrap_or(slot)
    }

    /// Whether the request was sent that this slot has a copy of, to the peer that it has it for.
    pub(super) fn was_asked(&self, slot: u32) -> bool {
        self.request(slot).and_then(|request| request.of_slot(slot)).is_some_and(Asked::has_left)
    }

    /// A request of a group, and the group.
    pub(super) fn with_group(&mut self, slot: u32) -> Option<(&mut GroupRequest, &mut Group)> {
        let request = self.requests.get_mut(self.owner(slot).as_request()?)?;
        let group = self.groups.get_mut(request.group as usize)?;
        Some((request, group))
    }

    /// Keeps this of a slot's request from now on.
    pub(super) fn keep(&mut self, slot: u32, request: GroupRequest) {
        let number = match self.free.pop() {
            Some(free) => free,
            None => self.requests.push(GroupRequest::default()),
        };
        if let Some(place) = self.requests.get_mut(number) {
            // The list that it had has its memory already.
            let asked = mem::take(&mut place.asked);
            *place = request;
            if place.asked.is_empty() {
                place.asked = asked;
            }
        }
        self.set(slot, Owner::request(number));
    }

    /// A slot has a copy of the request of another one.
    pub(super) fn share(&mut self, slot: u32, with: u32) {
        self.set(slot, self.owner(with));
    }

    /// A slot has none of it any more.
    pub(super) fn forget_copy(&mut self, slot: u32) {
        self.set(slot, Owner::NONE);
    }

    /// A request has ended, and was reported.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(number) = self.owner(slot).as_request() {
            if let Some(request) = self.requests.get_mut(number) {
                request.asked.clear();
            }
            self.free.push(number);
        }
        self.set(slot, Owner::NONE);
    }

    /// What the paths have shown that a request asked; `None` where it was one peer's.
    pub(super) fn reports(&self, slot: u32) -> Option<Vec<PathReport>> {
        if !self.are_used() {
            return None;
        }
        let mut reports: Vec<PathReport> = self.request(slot)?.asked.iter().map(|asked| asked.report).collect();
        reports.retain(PathReport::has_something);
        reports.sort_by_key(|report| report.path);
        Some(reports)
    }
}

/// The states of the paths of a group: those of its members.
#[derive(Debug)]
pub(super) struct Members<'m, P> {
    pub(super) peers: &'m mut Peers<P>,
    pub(super) members: &'m [u32],
}

impl<P: Copy + Ord> States for Members<'_, P> {
    fn state(&mut self, path: PathIndex) -> Option<&mut PathState> {
        let &member = self.members.get(usize::try_from(path.number()).ok()?)?;
        self.peers.get_mut(member).map(|peer| &mut peer.path)
    }

    /// Each has its own, if any: what several have in common the set knows.
    fn estimator(&mut self) -> Option<&RttEstimator> {
        None
    }
}
