/* `consilium enrol authority|coordinator|site|federation|roster|epoch`: what daemons on different
 * machines need to know each other. Keys are made here and never replaced. */
#include "base/str.h"
#include "cli/enrol.h"

#include <string.h>

#define AT(field)   .offset = offsetof(struct csl_enrol, field)
#define TEXT(field) AT(field), .size = sizeof(((struct csl_enrol *)0)->field)

static const struct csl_option options[] = {
    {.name = "trust-domain",
     .type = CSL_OPT_STR,
     TEXT(trust_domain),
     .fallback = "",
     .help = "The federation's name in every certificate: a-z 0-9 . - (all but roster)."},
    {.name = "authority",
     .type = CSL_OPT_PATH,
     TEXT(authority),
     .fallback = "",
     .help = "Folder that `enrol authority` made (coordinator, site)."},
    {.name = "names",
     .type = CSL_OPT_STR,
     TEXT(names),
     .fallback = "",
     .help = "Host names and addresses the sites will dial, separated by commas (coordinator)."},
    {.name = "out",
     .type = CSL_OPT_PATH,
     TEXT(out),
     .fallback = "",
     .help = "Folder for the key and the certificates; a key in it is never replaced."},
    {.name = "days",
     .type = CSL_OPT_U32,
     AT(days),
     .min = 0,
     .max = CSL_AUTHORITY_DAYS,
     .unit = "days",
     .fallback = "0",
     .help = "Validity; 0: 3650 for the authority, 365 for the others."},
    {.name = "roster",
     .type = CSL_OPT_PATH,
     TEXT(roster),
     .fallback = "",
     .help = "The coordinator's file of sites; the first `roster add` makes it (roster)."},
    {.name = "site",
     .type = CSL_OPT_STR,
     TEXT(site),
     .fallback = "",
     .help = "Which site (roster add, roster deactivate)."},
    {.name = "certificate",
     .type = CSL_OPT_PATH,
     TEXT(certificate),
     .fallback = "",
     .help = "The site's certificate; the pin of its key is read from it (roster add)."},
    {.name = "signing-key",
     .type = CSL_OPT_PATH,
     TEXT(signing_key),
     .fallback = "",
     .help = "The site's signing.pub, for secure aggregation (roster add); signing.key (epoch)."},
    {.name = "federation",
     .type = CSL_OPT_PATH,
     TEXT(federation),
     .fallback = "",
     .help = "Folder that `enrol federation` made (roster sign)."},
    {.name = "coordinator",
     .type = CSL_OPT_PATH,
     TEXT(coordinator),
     .fallback = "",
     .help = "The coordinator's signing.pub (roster sign)."},
    {.name = "root",
     .type = CSL_OPT_PATH,
     TEXT(root),
     .fallback = "",
     .help = "The federation's federation.pub: --roster is a signed roster (roster show, epoch)."},
    {.name = "secret",
     .type = CSL_OPT_PATH,
     TEXT(secret),
     .fallback = "",
     .help = "This site's r, kept until all have committed (epoch commit, epoch reveal)."},
    {.name = "commitments",
     .type = CSL_OPT_PATH,
     TEXT(commitments),
     .fallback = "",
     .help = "The commitments of all sites, one after the other (epoch reveal, epoch close)."},
    {.name = "reveals",
     .type = CSL_OPT_PATH,
     TEXT(reveals),
     .fallback = "",
     .help = "What all sites revealed, one after the other (epoch close)."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     AT(json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {
    "authority --trust-domain DOMAIN --out FOLDER [--days N]",
    "coordinator --authority FOLDER --trust-domain DOMAIN --names HOST,... --out FOLDER [--days N]",
    "site ID --authority FOLDER --trust-domain DOMAIN --out FOLDER [--days N]",
    "federation --out FOLDER",
    "roster add --roster FILE --site ID --certificate FILE [--signing-key FILE.pub]",
    "roster sign --federation FOLDER --roster FILE --coordinator FILE.pub --out FILE",
    "roster show --roster FILE [--root FILE.pub]",
    "roster deactivate --roster FILE --site ID",
    "epoch commit --roster FILE --root FILE.pub --site ID --signing-key FILE --secret FILE --out "
    "FILE",
    "epoch reveal ... --commitments FILE --out FILE",
    "epoch close --roster FILE --root FILE.pub --commitments FILE --reveals FILE --out FILE",
    NULL};
static const char *const verbs[] = {"authority", "coordinator", "site", "federation",
                                    "roster",    "epoch",       NULL};
static const char *const examples[] = {
    "consilium enrol authority --trust-domain heart.example.org --out authority",
    "consilium enrol coordinator --authority authority --trust-domain heart.example.org --names "
    "coordinator.example.org --out coordinator",
    "consilium enrol site lyon --authority authority --trust-domain heart.example.org --out lyon",
    "consilium enrol roster add --roster roster.yaml --site lyon --certificate lyon/site.pem",
    "consilium enrol roster show --roster roster.yaml --json",
    "consilium enrol federation --out federation",
    "consilium enrol roster add --roster roster.yaml --site lyon --certificate lyon/site.pem "
    "--signing-key lyon/signing.pub",
    "consilium enrol roster sign --federation federation --roster roster.yaml --coordinator "
    "coordinator/signing.pub --out federation.roster",
    "consilium enrol roster show --roster federation.roster --root federation/federation.pub",
    "consilium enrol roster deactivate --roster roster.yaml --site lyon",
    NULL};

const struct csl_cli_doc csl_doc_enrol = {
    .name = "enrol",
    .summary = "make keys and certificates, and keep the list of sites that may take part",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
    .notes = "In this version the authority makes the site's private key too, so that key\n"
             "travels: hand the site's folder over on a safe channel and delete it where it\n"
             "was made. A certificate request made at the site, so that its key never leaves\n"
             "it, comes in a later version.\n\n"
             "Files have mode 0600. Whoever holds authority.key can make a certificate for any\n"
             "name, the coordinator's too: keep it away from the network. A site's certificate\n"
             "is not enough to take part: the roster pins each site's key. A coordinator that\n"
             "runs reads a changed roster when it is started again.\n\n"
             "Secure aggregation takes a second kind of key. `site` and `coordinator` make\n"
             "signing.key (secret) and signing.pub beside the certificate's key. `federation`\n"
             "makes federation.key, with which the federation says which site has which key:\n"
             "whoever holds it can invent sites, and with invented sites a coordinator can open\n"
             "what an honest one sends. The federation keeps it, offline, and never the\n"
             "coordinator nor its operator. `roster sign` writes the roster that every party\n"
             "gets; each signature has a higher epoch than the one before, a site's number\n"
             "stays for ever, and a site that leaves is deactivated, not taken out.\n\n"
             "`epoch` is for studies with sparse graphs, so for more than 128 sites. Who holds\n"
             "whose shares must be chance that nobody chose: for each signed roster every site\n"
             "commits to a secret of its own, and reveals it only when it has the commitments\n"
             "of all. `close` checks all that was said and writes the file that both daemons\n"
             "read. A site that does not reveal leaves the roster, and all begin anew with the\n"
             "next one: a secret that was seen is never used again.",
};

static int roster(const struct csl_enrol *flags, const char *action)
{
    if (flags->roster[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol, "roster needs --roster, the file of the sites");
    if (strcmp(action, "add") == 0 || strcmp(action, "deactivate") == 0)
        return csl_enrol_roster_change(flags, strcmp(action, "add") == 0);
    if (strcmp(action, "show") == 0)
        return flags->root[0] != '\0' ? csl_enrol_signed_show(flags) : csl_enrol_roster_show(flags);
    if (strcmp(action, "sign") == 0)
        return csl_enrol_roster_sign(flags);
    return csl_cli_misuse(
        &csl_doc_enrol, "found 'roster %s'; add, show, sign or deactivate would be right", action);
}

int csl_cmd_enrol(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    static struct csl_enrol flags;
    int status = 0;

    if (!csl_cli_start(&csl_doc_enrol, &flags, argc, argv, &line, &status))
        return status;
    const char *verb = line.positional_count > 0 ? line.positional[0] : "";
    if (strcmp(verb, "authority") == 0 && line.positional_count == 1)
        return csl_enrol_authority(&flags);
    if (strcmp(verb, "coordinator") == 0 && line.positional_count == 1)
        return csl_enrol_party(&flags, NULL);
    if (strcmp(verb, "site") == 0 && line.positional_count == 2)
        return csl_enrol_party(&flags, line.positional[1]);
    if (strcmp(verb, "federation") == 0 && line.positional_count == 1)
        return csl_enrol_federation(&flags);
    if (strcmp(verb, "roster") == 0 && line.positional_count == 2)
        return roster(&flags, line.positional[1]);
    if (strcmp(verb, "epoch") == 0 && line.positional_count == 2)
        return csl_enrol_epoch(&flags, line.positional[1]);
    return csl_cli_misuse(&csl_doc_enrol,
                          "found %zu words%s%s; authority, coordinator, site ID, "
                          "federation, roster ACTION or epoch ACTION would be right",
                          line.positional_count, verb[0] ? " that begin with " : "", verb);
}
