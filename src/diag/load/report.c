/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/report.h"

#include "base/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

static double per_operation(uint64_t us, const struct bk_load_result *result)
{
    return result->operations ? (double)us / (double)result->operations : 0;
}

/* Memory that came with those who signed in during the phase; false where nobody did. */
static bool memory_per_user(const struct bk_load_result *result, double *ret_kb)
{
    if (!result->has_server || result->signed_in_after <= result->signed_in_before)
        return false;
    *ret_kb = ((double)result->pss_after_kb - (double)result->pss_before_kb) /
              (double)(result->signed_in_after - result->signed_in_before);
    return true;
}

static const char *transport_of(const struct bk_load_options *options)
{
    return (const char *[]){ "tls", "tcp", "udp" }[options->transport];
}

void bk_load_report_heading(FILE *to, const struct bk_load_options *options, uint32_t people)
{
    fprintf(to, "%u people, %s to %s%s\n", people, transport_of(options), options->server,
            options->transport == BK_LOAD_TLS && !options->ca_file
                ? " (certificate not judged; --ca FILE does)"
                : "");
    fprintf(to, "%-11s %8s %6s %7s %7s | %7s %7s %7s %7s | %7s %7s | %7s %6s %7s %6s\n", "phase",
            "done", "failed", "seconds", "per s", "p50 ms", "p90", "p99", "max", "arr p50", "p99",
            "srv us", "own us", "PSS MB", "KB/usr");
}

static void print_ms(FILE *to, const struct bk_load_times *times, uint64_t ns)
{
    if (times->count)
        fprintf(to, " %7.2f", (double)ns / 1e6);
    else
        fprintf(to, " %7s", "-");
}

void bk_load_report_phase(FILE *to, const struct bk_load_result *result)
{
    fprintf(to, "%-11s %8llu %6llu %7.2f %7.0f |", result->phase,
            (unsigned long long)result->operations, (unsigned long long)result->failures,
            result->seconds,
            result->seconds > 0 ? (double)result->operations / result->seconds : 0);
    print_ms(to, &result->answer, result->answer.p50_ns);
    print_ms(to, &result->answer, result->answer.p90_ns);
    print_ms(to, &result->answer, result->answer.p99_ns);
    print_ms(to, &result->answer, result->answer.max_ns);
    fputs(" |", to);
    print_ms(to, &result->arrival, result->arrival.p50_ns);
    print_ms(to, &result->arrival, result->arrival.p99_ns);
    fputs(" |", to);
    if (result->has_server)
        fprintf(to, " %7.1f", per_operation(result->server_cpu_us, result));
    else
        fprintf(to, " %7s", "-");
    fprintf(to, " %6.1f", per_operation(result->own_cpu_us, result));
    if (result->has_server)
        fprintf(to, " %7.1f", (double)result->pss_after_kb / 1024);
    else
        fprintf(to, " %7s", "-");
    double kb;
    if (memory_per_user(result, &kb))
        fprintf(to, " %6.1f", kb);
    fputc('\n', to);
    for (unsigned i = 0; i < result->reason_count; i++)
        fprintf(to, "    %llu x %s\n", (unsigned long long)result->reasons[i].count,
                result->reasons[i].text);
    if (result->resent)
        fprintf(to, "    %llu requests sent again\n", (unsigned long long)result->resent);
    fflush(to);
}

static json_t *times_to_json(const struct bk_load_times *times)
{
    if (!times->count)
        return json_null();
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)times->count, "p50",
                     (double)times->p50_ns / 1e6, "p90", (double)times->p90_ns / 1e6, "p99",
                     (double)times->p99_ns / 1e6, "max", (double)times->max_ns / 1e6);
}

static json_t *phase_to_json(const struct bk_load_result *result)
{
    json_t *phase = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:f, s:i}", "phase", result->phase, "unit",
        result->unit, "operations", (json_int_t)result->operations, "failures",
        (json_int_t)result->failures, "answers_from_nowhere",
        (json_int_t)result->answers_from_nowhere, "resent", (json_int_t)result->resent, "seconds",
        result->seconds, "answer_ms", times_to_json(&result->answer), "arrival_ms",
        times_to_json(&result->arrival), "own_cpu_us_per_operation",
        per_operation(result->own_cpu_us, result), "signed_in_after", (int)result->signed_in_after);
    if (!phase)
        return NULL;
    if (result->has_server) {
        json_object_set_new(phase, "server_cpu_us_per_operation",
                            json_real(per_operation(result->server_cpu_us, result)));
        json_object_set_new(phase, "server_cpu_us",
                            json_integer((json_int_t)result->server_cpu_us));
        json_object_set_new(phase, "server_pss_kb_before",
                            json_integer((json_int_t)result->pss_before_kb));
        json_object_set_new(phase, "server_pss_kb_after",
                            json_integer((json_int_t)result->pss_after_kb));
        json_object_set_new(phase, "server_processes", json_integer(result->processes));
        double kb;
        if (memory_per_user(result, &kb))
            json_object_set_new(phase, "server_kb_per_user", json_real(kb));
    }
    json_t *reasons = json_array();
    for (unsigned i = 0; i < result->reason_count; i++)
        json_array_append_new(reasons, json_pack("{s:s, s:I}", "reason", result->reasons[i].text,
                                                 "count", (json_int_t)result->reasons[i].count));
    json_object_set_new(phase, "reasons", reasons);
    return phase;
}

int bk_load_report_json(const char *path, const struct bk_load_options *options, uint32_t people,
                        const struct bk_load_result *results, unsigned count)
{
    json_t *phases = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(phases, phase_to_json(&results[i]));
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:o}", "program",
                             "beckon-load " BK_VERSION, "label", options->label, "server",
                             options->server, "transport", transport_of(options), "people",
                             (int)people, "seed", (json_int_t)options->seed, "phases", phases);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!text)
        return -ENOMEM;
    int r = bk_file_replace(path, bk_view_of_str(text), 0644);
    free(text);
    return r;
}
