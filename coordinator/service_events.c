/* What the transport's threads tell the service, on its way to the core thread. */
#include "coordinator/service_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

/* The site repeats itself after a reconnect, so a lost event costs time, not correctness. */
static void lose(struct csl_service *s, const struct csl_coord_event *ev)
{
    csl_log(CSL_LOG_WARN, "coordinator.event_lost", CSL_U64("kind", (uint64_t)ev->kind));
    if (ev->conn != 0)
        s->config.transport->ops->drop(s->config.transport, ev->conn, CSL_E_LIMIT);
}

bool csl_service_post__(struct csl_service *s, const struct csl_coord_event *ev,
                        const char *site_id, struct csl_msg *take_bytes)
{
    struct csl_service_event *e = csl_alloc(sizeof(*e));
    if (e != NULL) {
        e->ev = *ev;
        if (site_id != NULL)
            csl_str_copy(e->site_id, sizeof(e->site_id), site_id);
        if (take_bytes != NULL) {
            e->bytes = *take_bytes;
            *take_bytes = (struct csl_msg){NULL, 0};
        }
        if (csl_mailbox_push(s->mailbox, e) == CSL_OK)
            return true;
        csl_msg_release(&e->bytes);
        csl_free(e);
    }
    if (take_bytes != NULL)
        csl_msg_release(take_bytes);
    lose(s, ev);
    return false;
}

void csl_service_give_room__(struct csl_service *s, csl_conn c, size_t bytes)
{
    atomic_fetch_sub(&s->queued[c % CSL_SERVICE_QUEUED_SLOTS], 1);
    atomic_fetch_sub(&s->queued_bytes, bytes);
}

/* A site that talks faster than it is heard must cost neither memory nor the others' turn. */
static bool take_room(struct csl_service *s, csl_conn c, size_t bytes)
{
    unsigned of_conn = atomic_fetch_add(&s->queued[c % CSL_SERVICE_QUEUED_SLOTS], 1);
    size_t of_all = atomic_fetch_add(&s->queued_bytes, bytes) + bytes;
    bool fits = of_conn < CSL_SERVICE_QUEUED_MAX && of_all <= CSL_SERVICE_QUEUED_BYTES;
    if (!fits)
        csl_service_give_room__(s, c, bytes);
    return fits;
}

static void on_opened(void *ctx, csl_conn c, const struct csl_peer *peer)
{
    (void)csl_service_post__(ctx, &(struct csl_coord_event){.kind = CSL_CE_OPENED, .conn = c},
                             peer->site_id, NULL);
}

static void on_message(void *ctx, csl_conn c, struct csl_msg *take_m)
{
    const struct csl_coord_event ev = {.kind = CSL_CE_MESSAGE, .conn = c};
    size_t bytes = take_m->n;
    if (!take_room(ctx, c, bytes)) {
        csl_msg_release(take_m);
        lose(ctx, &ev);
    } else if (!csl_service_post__(ctx, &ev, NULL, take_m)) {
        csl_service_give_room__(ctx, c, bytes);
    }
}

static void on_closed(void *ctx, csl_conn c, enum csl_code why)
{
    (void)csl_service_post__(
        ctx, &(struct csl_coord_event){.kind = CSL_CE_CLOSED, .conn = c, .code = why}, NULL, NULL);
}

void csl_service_listen__(struct csl_service *s)
{
    s->config.transport->up =
        (struct csl_transport_events){.ctx = s,
                                      .opened = on_opened,
                                      .message = on_message,
                                      .closed = on_closed,
                                      .upload_open = csl_service_upload_open__,
                                      .download_open = csl_service_download_open__};
}
