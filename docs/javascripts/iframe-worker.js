// The site's search runs in a worker. Browsers start none for a page that was opened as a file;
// there, it runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      // As those of a worker, messages are copies, and are not delivered before the sender goes on.
      inside.postMessage = (message) => {
        const data = structuredClone(message);
        setTimeout(() => this.onmessage?.({ data }));
      };
      const script = inside.document.createElement("script");
      script.src = new URL(url, location.href);
      this.ready = new Promise((resolve, reject) => {
        script.onload = () => resolve(inside);
        script.onerror = reject;
      });
      this.ready.catch((error) => this.onerror?.(error));
      inside.document.body.append(script);
    }

    postMessage(message) {
      const data = structuredClone(message);
      this.ready.then((inside) => inside.onmessage({ data }), () => {});
    }

    terminate() {
      this.frame.remove();
    }
  };
}
