#include "privacy/secagg/party.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EPOCH_FILE "roster.epoch"
enum { EPOCH_BYTES_MAX = 32 };
/* The arenas of an attempt of some 75 sites, a third of them lost after they promised an update:
 * some 1,300 keys of streams at the coordinator. Of more sites a part may be unlocked. */
enum { ROUND_BYTES = 1 << 20 };

enum csl_code csl_secagg_roster_load(struct csl_secagg_roster *out, const char *path,
                                     const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES],
                                     uint64_t epoch_min, struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = csl_file_read(&bytes, path, CSL_SECAGG_ROSTER_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    struct csl_err why = {.code = CSL_OK};
    code = csl_secagg_roster_decode(out, csl_msg_span(&bytes), root_key, epoch_min, &why);
    csl_msg_release(&bytes);
    return code == CSL_OK ? code : CSL_FAIL(err, code, "%s: %s", path, why.msg);
}

/* A line with a number; without the file 0. */
static enum csl_code read_epoch(uint64_t *out, const char *path, struct csl_err *err)
{
    struct csl_msg text = {NULL, 0};
    *out = 0;
    if (!csl_file_exists(path))
        return CSL_OK;
    enum csl_code code = csl_file_read(&text, path, EPOCH_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    bool is_good = text.n > 1 && text.p[text.n - 1] == '\n';
    if (is_good) {
        text.p[text.n - 1] = '\0';
        is_good = csl_parse_u64((const char *)text.p, out);
    }
    csl_msg_release(&text);
    return is_good ? CSL_OK : CSL_FAIL(err, CSL_E_CORRUPT, "%s: not an epoch", path);
}

static enum csl_code remember_epoch(uint64_t epoch, const char *path, struct csl_err *err)
{
    char text[EPOCH_BYTES_MAX];
    int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", epoch);
    return csl_file_write_atomic(path, CSL_SPAN(text, (size_t)n), 0600, err);
}

static enum csl_code read_roster(struct csl_secagg_party *p, const struct csl_secagg_party_files *f,
                                 const char *epoch_path, struct csl_err *err)
{
    uint8_t root[CSL_SIGN_PUBLIC_BYTES];
    uint64_t seen = 0;
    enum csl_code code = csl_sign_load_public(root, "federation", f->root, err);
    if (code == CSL_OK)
        code = read_epoch(&seen, epoch_path, err);
    if (code == CSL_OK)
        code = csl_secagg_roster_load(&p->roster, f->roster, root, seen, err);
    if (code == CSL_OK && p->roster.epoch > seen)
        code = remember_epoch(p->roster.epoch, epoch_path, err);
    return code;
}

static enum csl_code check_key(const struct csl_secagg_party *p,
                               const struct csl_secagg_party_files *f, struct csl_err *err)
{
    const uint8_t *expected = p->roster.coordinator_key;
    if (f->site != NULL) {
        uint32_t place;
        enum csl_code code = csl_secagg_roster_member(&p->roster, f->site, &place, err);
        if (code != CSL_OK)
            return code;
        expected = p->roster.sites[place].key;
    }
    if (memcmp(expected, p->key->public_key, CSL_SIGN_PUBLIC_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "%s: the signed roster has another key for %s; the key whose public half "
                        "was given to the federation would be right",
                        f->key, f->site != NULL ? f->site : "the coordinator");
    return CSL_OK;
}

enum csl_code csl_secagg_party_open(struct csl_secagg_party **out,
                                    const struct csl_secagg_party_files *files, struct csl_err *err)
{
    char epoch_path[1024];
    struct csl_secagg_party *p = csl_alloc(sizeof(*p));
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the keys of secure aggregation");
    enum csl_code code =
        csl_secret_new(&p->memory, sizeof(struct csl_sign_key), CSL_SECRET_MAY_SWAP, err);
    if (code == CSL_OK) {
        struct csl_sign_key *key = csl_secret_alloc(p->memory, sizeof(*key));
        p->key = key;
        code = key == NULL ? CSL_FAIL(err, CSL_E_NOMEM, "no memory for a key")
                           : csl_sign_load(key, files->key, err);
    }
    if (code == CSL_OK)
        code = csl_dir_make(files->state_dir, err);
    if (code == CSL_OK)
        code = csl_path_join(epoch_path, sizeof(epoch_path), files->state_dir, EPOCH_FILE, err);
    if (code == CSL_OK)
        code = read_roster(p, files, epoch_path, err);
    if (code == CSL_OK)
        code = check_key(p, files, err);
    if (code == CSL_OK)
        *out = p;
    else
        csl_secagg_party_close(p);
    return code;
}

void csl_secagg_party_close(struct csl_secagg_party *p)
{
    if (p == NULL)
        return;
    csl_secret_free(p->memory);
    csl_free(p);
}

bool csl_secagg_party_is_locked(const struct csl_secagg_party *p)
{
    struct csl_secret *trial = NULL;
    bool has_room = csl_secret_new(&trial, ROUND_BYTES, CSL_SECRET_MUST_LOCK, NULL) == CSL_OK;
    csl_secret_free(trial);
    return has_room && csl_secret_is_locked(p->memory);
}
