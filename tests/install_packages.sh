#!/bin/sh
# Installs what a few tests need from the system: a browser with its driver, OpenMP for the local LLM, a Redis,
# tesseract.
# Where that cannot be done it says so and succeeds: those tests are then skipped.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

has_browser() {
    command -v chromedriver >/dev/null && { command -v chromium >/dev/null || command -v google-chrome >/dev/null; }
}

has_openmp() {
    ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1'
}

has_redis() {
    command -v redis-server >/dev/null
}

has_tesseract() {
    command -v tesseract >/dev/null
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_install() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null
}

install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

packages=""
has_browser || packages="chromium chromium-driver"
has_openmp || packages="$packages libgomp1"
has_redis || packages="$packages redis-server"
has_tesseract || packages="$packages tesseract-ocr"
[ -n "$packages" ] || exit 0

if may_install; then
    echo "installing $packages"
    as_root apt-get update -qq >/dev/null 2>&1 || true
    # shellcheck disable=SC2086 # a list of names
    for package in $packages; do
        install "$package" || true
    done
fi

has_browser || echo "no chromium and chromedriver, and no way to install them here: browser tests will be skipped"
has_openmp || echo "no libgomp1, and no way to install it here: tests with the local LLM will be skipped"
has_redis || echo "no redis-server, and no way to install it here: the test of rate limits in Redis will be skipped"
has_tesseract || echo "no tesseract, and no way to install it here: tests that read pictures will be skipped"
