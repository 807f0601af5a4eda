// Every block of memory is overwritten when it is given back, whoever gives it back: keys have a heap of their own, but
// tokens and codes also pass through strings, and through what curl, libfcgi and SQLite allocate for themselves. Replacing
// the allocator's functions in the program is how glibc means it to be done ("Replacing malloc" in its manual).
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CLINUX_FOREIGN_ALLOCATOR 1 // sanitizers bring their own
#endif
#endif

#ifndef CLINUX_FOREIGN_ALLOCATOR

extern void __libc_free(void *block);
extern void *__libc_realloc(void *block, size_t size);

// Most blocks are small, and calling memset for them would cost more than the work: glibc's blocks are whole words, at
// least two, and aligned to them.
static inline void wipe(void *block, size_t size) {
    if (size > 96) {
        memset(block, 0, size);
        __asm__ volatile("" : : "r"(block) : "memory"); // who reads memory of which the compiler knows nothing needs it
        return;
    }
    volatile uint64_t *words = block;
    for (size_t index = 0; index < size / sizeof *words; index++) words[index] = 0;
}

void free(void *block) {
    if (!block) return;
    wipe(block, malloc_usable_size(block));
    __libc_free(block);
}

void *realloc(void *block, size_t size) {
    if (!block) return __libc_realloc(NULL, size);
    size_t room = malloc_usable_size(block);
    if (size <= room) {
        explicit_bzero((char *)block + size, room - size);
        return __libc_realloc(block, size);
    }
    // Grown by the allocator, a block may move and leave its bytes behind.
    void *grown = malloc(size);
    if (!grown) return NULL;
    memcpy(grown, block, room);
    free(block);
    return grown;
}

#endif
