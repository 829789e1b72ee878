#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t process_peak_bytes(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && kib == 0 && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

/* Of a process or a thread, by its folder in /proc. */
static double cpu_of(const char *dir)
{
    char path[512], text[512] = "";
    snprintf(path, sizeof(path), "%s/stat", dir);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *at = strrchr(text, ')'); /* fields 14 and 15; the third follows the name */
    for (int field = 2; at != NULL && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    char *end;
    double ticks = (double)strtoull(at + 1, &end, 10);
    ticks += (double)strtoull(end, NULL, 10);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

void process_snapshot(pid_t pid, double *all_s, struct process_threads *out)
{
    char dir[64], path[512];
    snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
    *all_s = cpu_of(dir);
    snprintf(dir, sizeof(dir), "/proc/%d/task", (int)pid);
    DIR *d = opendir(dir);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.' || out->count == PROCESS_THREADS_MAX)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        out->cpu_s[out->count++] = cpu_of(path);
    }
    if (d != NULL)
        closedir(d);
}

double process_busiest_s(const struct process_threads *from, const struct process_threads *to)
{
    double most = 0;
    for (uint32_t i = 0; i < from->count && i < to->count; i++) {
        double s = to->cpu_s[i] - from->cpu_s[i];
        most = s > most ? s : most;
    }
    return most;
}
