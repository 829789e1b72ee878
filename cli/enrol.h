/* cli/enrol.h - what the files of `consilium enrol` share. One thread. */
#ifndef CSL_CLI_ENROL_H
#define CSL_CLI_ENROL_H
#include "base/file.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "protocol/identity/pki.h"

#define CSL_ENROL_FORMAT        "consilium.enrol/1"
#define CSL_ENROL_ROSTER_FORMAT "consilium.roster/1"
#define CSL_ENROL_SIGNED_FORMAT "consilium.signed-roster/1"
#define CSL_ENROL_EPOCH_FORMAT  "consilium.epoch/1"
#define CSL_AUTHORITY_DAYS      3650

struct csl_enrol { /* the flags */
    bool json;
    uint32_t days;
    char trust_domain[CSL_TRUST_DOMAIN_MAX];
    char names[900];
    char authority[1000], out[1000], roster[1000], certificate[1000];
    char signing_key[1000], federation[1000], coordinator[1000], root[1000];
    char secret[1000], commitments[1000], reveals[1000];
    char site[CSL_ID_MAX];
};

/* Each is one verb and returns the program's exit status. */
int csl_enrol_authority(const struct csl_enrol *flags);
int csl_enrol_party(const struct csl_enrol *flags, const char *site_id); /* NULL: coordinator */
int csl_enrol_federation(const struct csl_enrol *flags);
int csl_enrol_roster_change(const struct csl_enrol *flags, bool is_add);
int csl_enrol_roster_show(const struct csl_enrol *flags);
int csl_enrol_roster_sign(const struct csl_enrol *flags);
int csl_enrol_signed_show(const struct csl_enrol *flags); /* --root */
int csl_enrol_epoch(const struct csl_enrol *flags, const char *action);

/* CSL_E_EXISTS: something is at the path. */
enum csl_code csl_enrol_refuse_existing(const char *path, struct csl_err *err) CSL_MUST_CHECK;

#endif
