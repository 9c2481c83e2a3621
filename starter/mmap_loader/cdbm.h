/*
 * cdbm.h - the contract of the lab "mmap_loader": a read-only loader for djb's cdb files, through mmap.
 *
 * The format (cr.yp.to/cdb/cdb.txt). All numbers are 32 bits, unsigned, little endian, at any address:
 *
 *   header    bytes 0 .. 2047: 256 pairs (position, slots), one for each hash table
 *   records   from byte 2048 on, back to back: (key length, value length), the key's bytes, the value's bytes
 *   tables    behind the records: `slots` pairs (hash, position of the record); position 0 means an empty slot
 *
 * A key with hash h belongs to table h % 256. The search begins at slot (h / 256) % slots, goes on slot by slot, from
 * the last one to the first, and ends at an empty slot or when every slot was seen. A key may occur more than once.
 * A table without slots has no position either: ignore what stands there. Tables come in any order. Records end where
 * the first table with slots begins; in a file without such a table there are none.
 *
 * The file comes from somebody else. Whatever its bytes are, no function may crash, read outside the file, or run for
 * ever; -EBADMSG says that the file is damaged. (The one thing that a loader cannot defend itself against is a file
 * that somebody cuts short while it is mapped.)
 */
#ifndef CDBM_H
#define CDBM_H

#include <stddef.h>
#include <stdint.h>

typedef struct cdbm cdbm; /* an open database: yours to define */

/* Bytes inside the mapped file. They stay where they are until cdbm_close; nothing is copied. */
typedef struct {
    const uint8_t *ptr;
    size_t len;
} cdbm_slice;

enum {
    CDBM_DEFAULT = 0,
    CDBM_POPULATE = 1, /* read the whole file ahead of time */
    CDBM_VERIFY = 2    /* look at everything before saying that the file is good */
};

/*
 * Open a database. The work does not grow with the file, unless a flag asks for it.
 *
 * Returns 0 and sets *out, or a negative errno value and sets *out to NULL:
 *   -EINVAL   path or out is NULL, or a flag that is not known
 *   -ENOENT, -EACCES, ...  what the system said
 *   -EISDIR   path is a folder
 *   -ENODEV   path is neither a file nor a folder (a pipe, a device); never wait for one
 *   -EFBIG    4 GiB or more: positions have 32 bits
 *   -EBADMSG  smaller than a header, or a table with slots that does not lie between byte 2048 and the file's end
 *   -ENOMEM   no memory
 *   -ENOSYS   not implemented (the starter)
 *
 * With CDBM_VERIFY also -EBADMSG when the records do not fill the space between the header and the first table
 * exactly, or when a used slot does not point to the beginning of a record whose key has the slot's hash.
 */
int cdbm_open(const char *path, unsigned flags, cdbm **out);

/* Give everything back. NULL is fine. */
void cdbm_close(cdbm *db);

/* The hash of n bytes: start with 5381; for every byte c, h = (h * 33) ^ c, in 32 bits. */
uint32_t cdbm_hash(const void *p, size_t n);

/*
 * Look a key up: the first record with it, in the order in which records were written.
 *
 * Returns 1 and sets *val; 0 when there is none; -EBADMSG when a slot with the key's hash does not point to a whole
 * record between byte 2048 and the file's end; -EINVAL when db, val, or (with klen > 0) key is NULL.
 * A record that ends behind the beginning of the first table is damage as well: it may be found or be -EBADMSG.
 * *val is written only with 1. The pointer of an empty value is not NULL.
 *
 * Several threads may look things up in one database at the same time.
 */
int cdbm_get(const cdbm *db, const void *key, size_t klen, cdbm_slice *val);

/* The same for the nth record with this key, from 0. */
int cdbm_get_nth(const cdbm *db, const void *key, size_t klen, size_t nth, cdbm_slice *val);

/*
 * Call fn for every record, in the order in which they were written: those between the header and the first table.
 * When fn returns something else than 0, stop and return it. Otherwise 0 at the end, -EBADMSG at the first record
 * that does not lie wholly before the first table, -EINVAL when db or fn is NULL.
 */
typedef int (*cdbm_iter_fn)(void *ctx, cdbm_slice key, cdbm_slice val);
int cdbm_foreach(const cdbm *db, cdbm_iter_fn fn, void *ctx);

/* Count the records as cdbm_foreach would find them. 0 and *nrec, or -EBADMSG or -EINVAL. */
int cdbm_count(const cdbm *db, uint64_t *nrec);

/* Tell the kernel how the file will be read: 0 normal, 1 random, 2 sequential, 3 all of it soon. 0 or -errno. */
int cdbm_advise(cdbm *db, int pattern);

#endif
