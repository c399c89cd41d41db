// Keeps what the pages need to go on offline. Answers are kept by study.js, never here.
"use strict";
const CACHE = "study-1";
const FILES = ["/offline", "/static/style.css", "/static/study.js", "/static/icon.svg", "/manifest.webmanifest"];
self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()));
});
self.addEventListener("fetch", (event) => {
  const request = event.request;
  if (request.method !== "GET") return;
  const path = new URL(request.url).pathname;
  if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(() => caches.match("/offline")));
  } else if (FILES.includes(path)) {
    event.respondWith(fetch(request).then((answered) => {
      if (answered.ok) { const copy = answered.clone(); caches.open(CACHE).then((cache) => cache.put(request, copy)); }
      return answered;
    }).catch(() => caches.match(request)));
  }
});
