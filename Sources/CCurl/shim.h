#pragma once
// curl's checks of option types at compile time work on constants only, and the setters below pass the option on.
#define CURL_DISABLE_TYPECHECK 1
#include <curl/curl.h>

// curl_easy_setopt, curl_easy_getinfo and curl_multi_setopt are variadic, which Swift does not import. One setter per
// type of argument; where a callback and its context are two options, one setter sets both, so that neither is forgotten.

/// Options that take a `long`: numbers, bit masks and flags.
static inline CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

/// Options that take a `curl_off_t`, which is 64 bits where `long` may be 32.
static inline CURLcode ccurl_set_offset(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

/// Options that take a string, which curl copies; NULL puts the option back to none.
static inline CURLcode ccurl_set_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

/// CURLOPT_HTTPHEADER: the list stays the caller's and must outlive the transfer.
static inline CURLcode ccurl_set_headers(CURL *handle, struct curl_slist *headers) {
    return curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
}

/// CURLOPT_POSTFIELDS with its size: the bytes are not copied and must outlive the transfer.
static inline CURLcode ccurl_set_body(CURL *handle, const void *bytes, curl_off_t count) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, count);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_POSTFIELDS, bytes);
}

typedef size_t (*ccurl_receive)(char *bytes, size_t size, size_t count, void *context);

/// What takes the body as it arrives.
static inline CURLcode ccurl_on_body(CURL *handle, ccurl_receive callback, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, callback);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_WRITEDATA, context);
}

/// What takes each header line as it arrives.
static inline CURLcode ccurl_on_header(CURL *handle, ccurl_receive callback, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, callback);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_HEADERDATA, context);
}

/// What opens the socket for an address that a name was resolved to, or refuses it.
static inline CURLcode ccurl_on_open_socket(CURL *handle, curl_opensocket_callback callback, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, callback);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, context);
}

/// What is told that the connection stands and that the request goes out next.
static inline CURLcode ccurl_on_request(CURL *handle, curl_prereq_callback callback, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, callback);
    return code != CURLE_OK ? code : curl_easy_setopt(handle, CURLOPT_PREREQDATA, context);
}

/// curl_easy_getinfo for what is a `long`; -1 when there is no such fact.
static inline long ccurl_get_long(CURL *handle, CURLINFO info) {
    long value = -1;
    return curl_easy_getinfo(handle, info, &value) == CURLE_OK ? value : -1;
}

/// Multi options that take a `long`.
static inline CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

/// The result in a message; a member of a union, which Swift imports only as bytes.
static inline CURLcode ccurl_message_result(const CURLMsg *message) {
    return message->data.result;
}
