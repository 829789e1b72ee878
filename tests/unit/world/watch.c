#include "tests/unit/world/watch.h"

#include "base/check.h"
#include "protocol/transport/inproc.h"

#include <stdlib.h>
#include <string.h>

struct watch watches[WATCHES_MAX];
uint32_t watch_count;

static struct watch *watch_of(const struct csl_transport *t)
{
    for (uint32_t i = 0; i < watch_count; i++)
        if (watches[i].client == t)
            return &watches[i];
    abort();
}

static enum csl_code watched_write(void *self, struct csl_span s, struct csl_err *err)
{
    struct watch *w = self;
    if (w->downloads == 1) {
        CSL_ASSERT(w->first_bytes + s.n <= sizeof(w->first));
        memcpy(w->first + w->first_bytes, s.p, s.n);
        w->first_bytes += s.n;
    }
    return w->sink.write(w->sink.self, s, err);
}

static enum csl_code watched_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct watch *w = self;
    return w->sink.finish(w->sink.self, digest, err);
}

static void watched_abandon(void *self, enum csl_code why)
{
    struct watch *w = self;
    w->sink.abandon(w->sink.self, why);
}

static enum csl_code watched_download(struct csl_transport *t, uint64_t bulk_id,
                                      const struct csl_bulk_head *head,
                                      const struct csl_bulk_sink *sink, struct csl_err *err)
{
    struct watch *w = watch_of(t);
    const struct csl_bulk_sink own = {w, watched_write, watched_finish, watched_abandon};
    w->sink = *sink;
    w->downloads++;
    return w->real->download(t, bulk_id, head, &own, err);
}

static enum csl_code watched_upload(struct csl_transport *t, uint64_t bulk_id,
                                    const struct csl_bulk_head *head,
                                    const struct csl_bulk_source *source, struct csl_err *err)
{
    struct watch *w = watch_of(t);
    w->uploads++;
    w->up_bytes += head->bytes_total;
    return w->real->upload(t, bulk_id, head, source, err);
}

enum csl_code __real_csl_inproc_client(struct csl_inproc *n, const char *site_id,
                                       struct csl_transport **out, struct csl_err *err);
enum csl_code __wrap_csl_inproc_client(struct csl_inproc *n, const char *site_id,
                                       struct csl_transport **out, struct csl_err *err);
enum csl_code __wrap_csl_inproc_client(struct csl_inproc *n, const char *site_id,
                                       struct csl_transport **out, struct csl_err *err)
{
    enum csl_code code = __real_csl_inproc_client(n, site_id, out, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(watch_count < WATCHES_MAX);
    struct watch *w = &watches[watch_count++];
    w->client = *out;
    w->real = (*out)->ops;
    w->ops = *w->real;
    w->ops.download = watched_download;
    w->ops.upload = watched_upload;
    (*out)->ops = &w->ops;
    return CSL_OK;
}
