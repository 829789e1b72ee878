#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in a;
    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static bool pass(int from, int to, size_t *n)
{
    uint8_t buffer[16384];
    ssize_t got = recv(from, buffer, sizeof(buffer), 0);
    if (got <= 0)
        return false;
    *n = (size_t)got;
    for (size_t sent = 0; sent < *n;) {
        ssize_t put = send(to, buffer + sent, *n - sent, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        sent += (size_t)put;
    }
    return true;
}

/* Counts n bytes up; true when the line must break here. */
static bool is_cut(struct h_relay *r, size_t n)
{
    csl_mutex_lock(&r->mu);
    r->forwarded += n;
    bool must_cut = r->forwarded >= r->cut_after;
    if (must_cut) {
        r->cuts++;
        r->cut_after = UINT64_MAX;
        r->forwarded = 0;
    }
    csl_mutex_unlock(&r->mu);
    return must_cut;
}

/* Until either side closes, the line is cut, or the relay stops (false). */
static bool forward(struct h_relay *r, int near, int far)
{
    for (;;) {
        struct pollfd p[3] = {{near, POLLIN, 0}, {far, POLLIN, 0}, {r->wake[0], POLLIN, 0}};
        size_t n = 0;
        if (poll(p, 3, -1) < 0 || p[2].revents != 0)
            return false;
        if (p[0].revents != 0 && (!pass(near, far, &n) || is_cut(r, n)))
            return true;
        if (p[1].revents != 0 && !pass(far, near, &n))
            return true;
    }
}

/* Reads a CONNECT to its empty line and agrees. */
static bool agree(struct h_relay *r, int near)
{
    static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    char text[1024] = "";
    for (size_t n = 0; strstr(text, "\r\n\r\n") == NULL; n++)
        if (n + 1 >= sizeof(text) || recv(near, text + n, 1, 0) != 1)
            return false;
    csl_mutex_lock(&r->mu);
    (void)snprintf(r->asked, sizeof(r->asked), "%.*s", (int)strcspn(text, "\r"), text);
    csl_mutex_unlock(&r->mu);
    return send(near, yes, sizeof(yes) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(yes) - 1;
}

static void run(void *arg)
{
    struct h_relay *r = arg;
    bool is_running = true;
    while (is_running) {
        struct pollfd p[2] = {{r->listen_fd, POLLIN, 0}, {r->wake[0], POLLIN, 0}};
        if (poll(p, 2, -1) < 0 || p[1].revents != 0)
            return;
        int near = accept(r->listen_fd, NULL, NULL);
        int far = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in to = loopback(r->to_port);
        if (connect(far, (struct sockaddr *)&to, sizeof(to)) == 0 &&
            (!r->is_proxy || agree(r, near)))
            is_running = forward(r, near, far);
        (void)close(near);
        (void)close(far);
    }
}

void h_relay_start(struct h_relay *r, uint16_t to_port, bool is_proxy)
{
    struct csl_err err;
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof(a);
    memset(r, 0, sizeof(*r));
    csl_mutex_init(&r->mu);
    r->cut_after = UINT64_MAX;
    r->to_port = to_port;
    r->is_proxy = is_proxy;
    r->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(r->listen_fd >= 0);
    assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(r->listen_fd, 8), 0);
    assert_int_equal(getsockname(r->listen_fd, (struct sockaddr *)&a, &n), 0);
    r->port = ntohs(a.sin_port);
    assert_int_equal(pipe(r->wake), 0);
    assert_int_equal(csl_thread_start(&r->thread, "relay", run, r, &err), CSL_OK);
}

void h_relay_cut_after(struct h_relay *r, uint64_t bytes)
{
    csl_mutex_lock(&r->mu);
    r->forwarded = 0;
    r->cut_after = bytes;
    csl_mutex_unlock(&r->mu);
}

uint32_t h_relay_cuts(struct h_relay *r)
{
    csl_mutex_lock(&r->mu);
    uint32_t n = r->cuts;
    csl_mutex_unlock(&r->mu);
    return n;
}

void h_relay_stop(struct h_relay *r)
{
    assert_int_equal(write(r->wake[1], "x", 1), 1);
    csl_thread_join(&r->thread);
    (void)close(r->listen_fd);
    (void)close(r->wake[0]);
    (void)close(r->wake[1]);
    csl_mutex_release(&r->mu);
}
