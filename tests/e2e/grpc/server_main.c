/* A coordinator's transport with nothing behind it, for peers written in other languages: makes its
 * own certificates in the folder given, prints its port, echoes sessions, and stops when its input
 * ends. A line "serving" or "not-serving" on its input sets the health status. */
#include "harness.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    struct csl_transport **t = ctx;
    struct csl_err err;
    (void)(*t)->ops->send(*t, c, take_m, &err);
}

static void make_certificates(struct h_place *p, const char *dir)
{
    struct csl_err err;
    (void)snprintf(p->dir, sizeof(p->dir), "%s", dir);
    (void)snprintf(p->ca_key, sizeof(p->ca_key), "%s/ca.key", dir);
    (void)snprintf(p->ca_cert, sizeof(p->ca_cert), "%s/ca.pem", dir);
    assert_int_equal(csl_pki_make_authority(H_DOMAIN, 10, p->ca_key, p->ca_cert, &err), CSL_OK);
    h_issue_coordinator(p, "coordinator", 10);
    h_issue_site(p, "a", "a", 10);
}

int main(int argc, char **argv)
{
    struct h_place place;
    struct h_server unused;
    struct csl_grpc_server_config config;
    struct csl_transport *t = NULL;
    struct csl_err err = {.msg = ""};
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_INFO);
    if (argc != 2 || csl_grpc_init(&err) != CSL_OK)
        return 2;
    make_certificates(&place, argv[1]);
    h_server_config(&place, "coordinator", 0, &unused, &config);
    config.admit = NULL;
    config.has_reflection = true;
    if (csl_grpc_server_new(&t, &config, &err) == CSL_OK) {
        t->up = (struct csl_transport_events){.ctx = &t, .message = message};
        if (t->ops->start(t, &err) == CSL_OK) {
            (void)printf("%u\n", csl_grpc_server_port(t));
            (void)fflush(stdout);
            for (char line[64]; fgets(line, sizeof(line), stdin) != NULL;)
                csl_grpc_server_set_serving(t, strcmp(line, "serving\n") == 0);
            t->ops->stop(t, 500);
        }
        t->ops->free(t);
    }
    csl_grpc_shutdown();
    if (err.msg[0] != '\0')
        (void)fprintf(stderr, "%s\n", err.msg);
    return err.msg[0] != '\0';
}
