//! Panics of any thread: one that a task or the writer swallows is one all the same.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Fails if any thread panics meanwhile. Tests that use it must not run beside each other in one process.
pub fn none_during<T>(body: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            usual(panic);
        }));
    });
    let before = PANICS.load(Ordering::SeqCst);
    let value = body();
    assert_eq!(PANICS.load(Ordering::SeqCst), before, "a thread panicked, see above");
    value
}
