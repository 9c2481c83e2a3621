/*
 * The reference of the duels: the functions of cdbm.h that lookups need, over libcdb of TinyCDB (Debian: libcdb-dev).
 * It maps the file too. Staff call it with right arguments and good files only.
 */
#include "cdbm.h"

#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct cdbm {
    struct cdb cdb;
};

int cdbm_open(const char *path, unsigned flags, cdbm **out)
{
    (void)flags;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    cdbm *db = malloc(sizeof *db);
    if (db == NULL || cdb_init(&db->cdb, fd) != 0) {
        free(db);
        close(fd);
        return -EBADMSG;
    }
    *out = db;
    return 0;
}

void cdbm_close(cdbm *db)
{
    if (db == NULL)
        return;
    close(cdb_fileno(&db->cdb));
    cdb_free(&db->cdb);
    free(db);
}

/* libcdb keeps what it found in its handle, which is therefore not const. */
int cdbm_get(const cdbm *db, const void *key, size_t klen, cdbm_slice *val)
{
    struct cdb *cdb = (struct cdb *)&db->cdb;
    int found = cdb_find(cdb, key, (unsigned)klen);
    if (found <= 0)
        return found < 0 ? -EBADMSG : 0;
    *val = (cdbm_slice){cdb_getdata(cdb), cdb_datalen(cdb)};
    return 1;
}

/* What this is, for the report. */
const char *reference_name(void)
{
    return "libcdb (TinyCDB)";
}

/* Plain C without vectors: the same on every machine. */
const char *reference_isa(void)
{
    return "x86-64";
}
