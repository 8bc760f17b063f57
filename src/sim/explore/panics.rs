use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use std::panic::{PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

/// Runs something, and returns the text and the place of its panic if it panics.
///
/// Nothing is printed of it if `quiet`. Panics of other threads are printed as ever.
pub(super) fn caught<T>(quiet: bool, run: impl FnOnce() -> T) -> Result<T, String> {
    let before = MODE.replace(if quiet { Mode::Quiet } else { Mode::Noting });
    PLACE.take();
    // What a panic leaves half done is the scenario's; its network is looked at and not used any more.
    let ended = catch_unwind(AssertUnwindSafe(run));
    MODE.set(before);
    ended.map_err(|payload| text(payload.as_ref(), PLACE.take()))
}

/// Reads the places of panics for as long as it lives: of this thread's, while [`caught`] runs something.
///
/// A panic hook is of the whole process, so all searches share one, and the last of them puts back what was there.
pub(super) struct Listening {
    listens: bool,
}

impl Listening {
    pub(super) fn start() -> Self {
        // A thread that panics may not touch the hook: then panics are caught without their places.
        let listens = !std::thread::panicking();
        if listens {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.users += 1;
            if shared.users == 1 {
                shared.installed = Some(Installed::over(take_hook()));
            }
        }
        Self { listens }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if !self.listens {
            return;
        }
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.users -= 1;
        if shared.users == 0 && !std::thread::panicking() {
            if let Some(installed) = shared.installed.take() {
                installed.remove();
            }
        }
    }
}

/// What all searches of the process share.
struct Shared {
    users: u32,
    installed: Option<Installed>,
}

/// Our hook, and the one that it stands before.
struct Installed {
    before: Arc<Hook>,
    /// Where our hook lies, by which it is known again.
    address: usize,
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync + 'static>;

impl Installed {
    fn over(before: Hook) -> Self {
        let before = Arc::new(before);
        let next = before.clone();
        let hook: Hook = Box::new(move |info| match MODE.try_with(Cell::get).unwrap_or(Mode::Off) {
            Mode::Off => next(info),
            Mode::Noting => {
                note(info);
                next(info);
            }
            Mode::Quiet => note(info),
        });
        let address = address(&hook);
        set_hook(hook);
        Self { before, address }
    }

    fn remove(self) {
        let current = take_hook();
        if address(&current) != self.address {
            // Someone has set another one meanwhile. It may lead to ours, which passes everything on.
            set_hook(current);
            return;
        }
        drop(current);
        // Ours was the only other owner.
        match Arc::try_unwrap(self.before) {
            Ok(before) => set_hook(before),
            Err(before) => set_hook(Box::new(move |info| before(info))),
        }
    }
}

fn address(hook: &Hook) -> usize {
    core::ptr::from_ref(hook.as_ref()).cast::<()>().addr()
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    // At the end of a thread there may be no place to keep it in.
    let _ = PLACE.try_with(|kept| kept.replace(place));
}

fn text(payload: &(dyn Any + Send), place: Option<String>) -> String {
    let said = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("a panic without a text");
    match place {
        Some(place) => alloc::format!("panicked at {place}: {said}"),
        None => alloc::format!("panicked: {said}"),
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Off,
    Noting,
    Quiet,
}

std::thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Off) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { users: 0, installed: None });
