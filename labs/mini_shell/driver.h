/* driver.h - what tests call to look at trees, and to try many texts at once. */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Parse the bytes and write the tree as text into out[0..cap); its length, or what msh_parse answers. -EPROTO when it
 * breaks a promise of msh.h: a tree beside an error, a missing NULL at the end of argv, a message that does not end.
 */
int drive_parse(const uint8_t *src, size_t len, uint8_t *out, size_t cap);

/* Expand a word and write the fields, each ended by a NUL, into out[0..cap); how many bytes, or what msh_expand answers. */
int drive_expand(const char *word, int status, uint8_t *out, size_t cap);

/*
 * Parse `count` random texts of up to max_len bytes, drawn from `pieces` (texts one after the other, each with its length
 * in a byte before it), expand every word of what is understood, and free it. counts[0..3]: how many were understood, wrong, to be
 * continued, and broke a promise; the first text that broke one is written into out, its length is the answer, else 0.
 */
int drive_fuzz(uint64_t seed, size_t count, size_t max_len, const uint8_t *pieces, size_t size, uint64_t *counts,
               uint8_t *out, size_t cap);

#endif
