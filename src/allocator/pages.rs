//! The pages of Luau's heaps, so close together that a page which holds little touches little memory.
//!
//! Luau keeps values of each size in a page of their own, of 16 or 32 KiB, and an empty script has some
//! sixty of them with a few values each. It writes a page's header, and takes the values from the page's
//! end downwards: two pages of memory, of 4 KiB, for one of Luau's, if each begins at such a boundary. Here
//! they lie one behind the other so that the end of each shares its page of memory with the header of the
//! next, which halves what an empty script costs.
//!
//! They lie in **slabs** of [`SLAB`] bytes, each for one size, which come from mimalloc and go back to it
//! when they are empty; one that is empty is kept for each size. All threads share the slabs: a lock is
//! taken for a page of 16 KiB, never for a value in it, and held for some tens of nanoseconds.
//!
//! A request is one of Luau's pages by its size. That somebody else asks for just so many bytes does no
//! harm: they get a block from here as well.

use std::alloc::Layout;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// Sizes of Luau's pages, in bytes: `kSmallPageSize` and `kLargePageSize` of its `lmem.cpp`.
const SIZES: [usize; 2] = [(16 << 10) - 24, (32 << 10) - 24];
/// The least size of a request that may be one of them.
pub(super) const LEAST: usize = SIZES[0];
/// Bytes of a slab, and its alignment: a block's address tells which slab it is in.
const SLAB: usize = 512 << 10;
/// Bytes of a page of memory. Where they are larger, this saves less.
const MEMORY_PAGE: usize = 4 << 10;
/// Where the first block begins: a block's header (64 bytes) ends with a page of memory, and the values
/// at the end of the block before have the rest of that page.
const FIRST: usize = MEMORY_PAGE - 64;

/// One slab. It lies at the slab's beginning, before the first block.
struct Slab {
    /// The neighbours in the list of slabs with a free block; null at its ends, and out of it.
    next: *mut Slab,
    before: *mut Slab,
    /// A bit for each free block.
    free: u32,
}

const _: () = assert!(size_of::<Slab>() <= FIRST);

/// The slabs for blocks of one size.
struct Pool {
    /// Bytes from one block to the next.
    stride: usize,
    /// The list of slabs with a free block.
    first: *mut Slab,
    /// A slab without any block in use, which is in the list, too; or null.
    empty: *mut Slab,
}

// SAFETY: what it points to belongs to the pool alone, wherever that is.
unsafe impl Send for Pool {}

static POOLS: [Mutex<Pool>; 2] = [
    Mutex::new(Pool::new(SIZES[0])),
    Mutex::new(Pool::new(SIZES[1])),
];

/// Where memory of this layout is from, if it is from here. Blocks are aligned to 64 bytes.
#[inline]
pub(super) fn blocks(layout: Layout) -> Option<Blocks> {
    let at = SIZES.iter().position(|&size| size == layout.size())?;
    (layout.align() <= 64).then_some(Blocks(&POOLS[at]))
}

/// Blocks of one size.
#[derive(Clone, Copy)]
pub(super) struct Blocks(&'static Mutex<Pool>);

impl Blocks {
    /// A block, or null if `slab` has no memory for it.
    pub(super) fn take(self, slab: impl FnOnce(Layout) -> *mut u8) -> *mut u8 {
        #[cfg(test)]
        let _ = super::PAGES.try_with(|pages| pages.set(pages.get() + 1));
        if let Some(block) = self.lock().take() {
            return block;
        }
        // Nobody waits while mimalloc works. Two threads at once get a slab each.
        let fresh = slab(Pool::LAYOUT).cast::<Slab>();
        if fresh.is_null() {
            return ptr::null_mut();
        }
        let mut pool = self.lock();
        // SAFETY: it is a slab of memory that nobody else has.
        unsafe { pool.add(fresh) };
        pool.take().unwrap_or(ptr::null_mut())
    }

    /// Gives a block back, and to `slab` the slab that is not needed any more.
    ///
    /// # Safety
    /// `block` came from [`Blocks::take`] of the same pool, and nobody uses it any more.
    pub(super) unsafe fn give(self, block: *mut u8, slab: impl FnOnce(*mut u8, Layout)) {
        // SAFETY: as the caller promises.
        let unneeded = unsafe { self.lock().give(block) };
        if let Some(unneeded) = unneeded {
            slab(unneeded.cast(), Pool::LAYOUT);
        }
    }

    fn lock(self) -> std::sync::MutexGuard<'static, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    const LAYOUT: Layout = match Layout::from_size_align(SLAB, SLAB) {
        Ok(layout) => layout,
        Err(_) => panic!("a power of two"),
    };

    const fn new(size: usize) -> Self {
        Self {
            stride: size.next_multiple_of(MEMORY_PAGE),
            first: ptr::null_mut(),
            empty: ptr::null_mut(),
        }
    }

    /// A bit for each block of a slab.
    const fn all(&self) -> u32 {
        (1 << ((SLAB - FIRST) / self.stride)) - 1
    }

    /// # Safety
    /// `slab` must be a slab of memory that nobody else has.
    unsafe fn add(&mut self, slab: *mut Slab) {
        // SAFETY: as the caller promises; it begins with room for this.
        unsafe {
            slab.write(Slab {
                next: ptr::null_mut(),
                before: ptr::null_mut(),
                free: self.all(),
            });
            self.link(slab);
        }
    }

    fn take(&mut self) -> Option<*mut u8> {
        if self.first.is_null() {
            return None;
        }
        let slab = self.first;
        // SAFETY: what is in the list is a slab of this pool, and has a free block.
        unsafe {
            let at = (*slab).free.trailing_zeros();
            (*slab).free &= !(1 << at);
            if slab == self.empty {
                self.empty = ptr::null_mut();
            }
            if (*slab).free == 0 {
                self.unlink(slab);
            }
            Some(slab.cast::<u8>().add(FIRST + at as usize * self.stride))
        }
    }

    /// Answers a slab that is not needed any more.
    ///
    /// # Safety
    /// `block` came from [`Pool::take`], and nobody uses it any more.
    unsafe fn give(&mut self, block: *mut u8) -> Option<*mut Slab> {
        let offset = block.addr() % SLAB;
        // SAFETY: a block lies in its slab, which begins at a multiple of its size.
        unsafe {
            let slab = block.sub(offset).cast::<Slab>();
            if (*slab).free == 0 {
                self.link(slab);
            }
            (*slab).free |= 1 << ((offset - FIRST) / self.stride);
            if (*slab).free != self.all() {
                return None;
            }
            if self.empty.is_null() {
                self.empty = slab;
                return None;
            }
            self.unlink(slab);
            Some(slab)
        }
    }

    /// # Safety
    /// `slab` must be a slab of this pool that is not in the list.
    unsafe fn link(&mut self, slab: *mut Slab) {
        // SAFETY: as the caller promises; what the list has are slabs.
        unsafe {
            (*slab).next = self.first;
            (*slab).before = ptr::null_mut();
            if let Some(next) = self.first.as_mut() {
                next.before = slab;
            }
        }
        self.first = slab;
    }

    /// # Safety
    /// `slab` must be in the list.
    unsafe fn unlink(&mut self, slab: *mut Slab) {
        // SAFETY: as the caller promises; its neighbours are slabs.
        unsafe {
            let (next, before) = ((*slab).next, (*slab).before);
            match before.as_mut() {
                Some(before) => before.next = next,
                None => self.first = next,
            }
            if let Some(next) = next.as_mut() {
                next.before = before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{alloc, dealloc};
    use std::cell::Cell;

    /// Takes blocks of one pool, and counts the slabs.
    fn with_pool(
        size: usize,
        test: impl FnOnce(Blocks, &dyn Fn() -> *mut u8, &dyn Fn(*mut u8), &Cell<i32>),
    ) {
        let pool: &'static Mutex<Pool> = Box::leak(Box::new(Mutex::new(Pool::new(size))));
        let (blocks, slabs) = (Blocks(pool), Cell::new(0));
        let take = || {
            blocks.take(|layout| {
                slabs.set(slabs.get() + 1);
                // SAFETY: it is not empty.
                unsafe { alloc(layout) }
            })
        };
        let give = |block| {
            // SAFETY: the tests give back what they took, once.
            unsafe {
                blocks.give(block, |slab, layout| {
                    slabs.set(slabs.get() - 1);
                    dealloc(slab, layout);
                });
            }
        };
        test(blocks, &take, &give, &slabs);
    }

    #[test]
    fn blocks_keep_what_is_in_them_and_slabs_go_back() {
        for size in SIZES {
            with_pool(size, |_, take, give, slabs| {
                for round in 0..3u8 {
                    let taken: Vec<_> = (0..100u8).map(|at| (take(), at ^ round)).collect();
                    for &(block, mark) in &taken {
                        assert_eq!(block.addr() % 64, 0);
                        // SAFETY: a block has so many bytes.
                        unsafe { block.write_bytes(mark, size) };
                    }
                    // Every third first, so that slabs fill and empty in turns.
                    for step in 0..3 {
                        for &(block, mark) in taken.iter().skip(step).step_by(3) {
                            // SAFETY: as above, and all of it is written.
                            let bytes = unsafe { std::slice::from_raw_parts(block, size) };
                            assert!(bytes.iter().all(|&byte| byte == mark));
                            give(block);
                        }
                    }
                    assert_eq!(slabs.get(), 1, "one is kept");
                }
            });
        }
    }

    #[test]
    fn a_slab_that_has_room_is_used_before_a_new_one() {
        with_pool(SIZES[0], |_, take, give, slabs| {
            let taken: Vec<_> = (0..62).map(|_| take()).collect();
            assert_eq!(slabs.get(), 2);
            for &block in taken.iter().step_by(2) {
                give(block);
            }
            for _ in 0..31 {
                take();
            }
            assert_eq!(slabs.get(), 2);
        });
    }

    #[test]
    fn the_end_of_a_block_shares_its_memory_with_the_next_ones_header() {
        for size in SIZES {
            with_pool(size, |_, take, _, _| {
                let (one, next) = (take().addr(), take().addr());
                let page = |address: usize| address / MEMORY_PAGE;
                assert!(next > one);
                // The last value of the largest class ends in the block's last 1,100 bytes.
                assert_eq!(page(one + size - 1), page(next + 63));
                assert_eq!(page(one + size - 3000), page(next + 63));
            });
        }
    }

    #[test]
    fn without_memory_for_a_slab_there_is_no_block() {
        with_pool(SIZES[0], |blocks, _, _, _| {
            assert!(blocks.take(|_| ptr::null_mut()).is_null());
        });
    }

    #[test]
    fn the_allocator_moves_memory_in_and_out() {
        let mut bytes: Vec<u8> = Vec::with_capacity(SIZES[0]);
        bytes.extend((0..SIZES[0]).map(|at| at as u8));
        let is_whole = |bytes: &[u8]| bytes.iter().enumerate().all(|(at, &byte)| byte == at as u8);
        for size in [SIZES[1], 100_000, SIZES[0]] {
            bytes.reserve_exact(size - bytes.len());
            bytes.shrink_to(size);
            assert_eq!(bytes.capacity(), size);
            assert!(bytes.len() == SIZES[0] && is_whole(&bytes));
        }
        bytes.truncate(100);
        bytes.shrink_to_fit();
        assert!(is_whole(&bytes));
        assert!(vec![0u8; SIZES[0]].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn blocks_go_from_thread_to_thread() {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(64);
        let makers: Vec<_> = (0..4u8)
            .map(|maker| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for _ in 0..500 {
                        sender
                            .send(vec![maker + 1; SIZES[usize::from(maker) % 2]])
                            .unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let mut count = 0;
        while let Ok(bytes) = receiver.recv() {
            assert!(bytes.iter().all(|&byte| byte == bytes[0]));
            count += 1;
        }
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        assert_eq!(count, 2000);
    }
}
