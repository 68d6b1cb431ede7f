// The camera: one frame at a time. The next one is taken when the last one is answered, so frames are skipped and never queued.

const GUIDE = 0.8; // of the picture's short side, as in the app
const HIGH = 1.3, ABOVE = 0.36;
const STILL_MS = 200; // between two frames while nothing moves

export class Camera {
  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLElement} stage
   * @param {(frame: ImageBitmap) => Promise<boolean>} answered whether the frame showed what the one before showed
   * @param {(trouble: string) => void} tell the key of a sentence
   */
  constructor(video, stage, answered, tell) {
    this.video = video;
    this.stage = stage;
    this.answered = answered;
    this.tell = tell;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.round = 0;
    this.held = false;
    /** @type {string[]} */
    this.cameras = [];
    this.chosen = 0;
    /** @type {(() => void) | null} */
    this.waiting = null;
    this.fresh = false;
    new ResizeObserver(() => this.guide()).observe(stage);
    video.addEventListener("resize", () => this.guide());
    document.addEventListener("visibilitychange", () => this.wake());
  }

  get on() {
    return Boolean(this.stream && this.video.videoWidth);
  }

  /** Open a camera, the one that looks away from the person first. Resolves to whether it is open. */
  async start() {
    const mine = ++this.round;
    this.halt();
    if (!navigator.mediaDevices?.getUserMedia) return this.failed("web.insecure");
    const exact = this.cameras.length > 1 ? { deviceId: { exact: this.cameras[this.chosen] } } : { facingMode: { ideal: "environment" } };
    try {
      const opened = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, ...exact } });
      if (mine !== this.round) {
        opened.getTracks().forEach((track) => track.stop());
        return false;
      }
      this.stream = opened;
      this.video.srcObject = opened;
      await this.video.play();
    } catch (error) {
      if (mine !== this.round) return false; // stopped, or started anew, while the camera opened
      this.halt();
      const name = error instanceof DOMException ? error.name : "";
      const known = /** @type {Record<string, string>} */ ({ NotAllowedError: "classify.live_denied", NotReadableError: "classify.live_busy" });
      return this.failed(known[name] ?? "classify.live_none");
    }
    if (mine !== this.round || !this.stream) return false;
    this.stream.getVideoTracks()[0].addEventListener("ended", () => {
      if (mine === this.round) {
        this.stop();
        this.tell("classify.live_none");
      }
    });
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
    this.cameras = found.map((device) => device.deviceId);
    this.chosen = Math.max(this.cameras.indexOf(this.stream?.getVideoTracks()[0]?.getSettings().deviceId ?? ""), 0);
    this.guide();
    this.watch(mine);
    this.run(mine);
    return true;
  }

  /** @param {string} trouble */
  failed(trouble) {
    this.tell(trouble);
    return false;
  }

  /** The next camera that there is. */
  next() {
    this.chosen = (this.chosen + 1) % Math.max(this.cameras.length, 1);
    return this.start();
  }

  stop() {
    this.round += 1;
    this.halt();
    this.wake();
  }

  halt() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  /**
   * The guide box: its side and middle in pixels of the camera, and how much larger the page shows them. The video covers its
   * stage; on a high one the box lies above the middle, so that the answer does not cover it.
   */
  box() {
    const { videoWidth: width, videoHeight: height } = this.video, { clientWidth: across, clientHeight: down } = this.stage;
    const scale = Math.max(across / width, down / height), place = down > HIGH * across ? ABOVE : 0.5;
    const side = Math.round(Math.min(width, height, across / scale, down / scale) * GUIDE);
    const middle = Math.min(Math.max(height / 2 + ((place - 0.5) * down) / scale, side / 2), height - side / 2);
    return { scale, side, left: Math.round((width - side) / 2), top: Math.round(middle - side / 2), height };
  }

  /** What is inside the guide box, at the camera's own resolution. */
  frame() {
    const { side, left, top } = this.box();
    return createImageBitmap(this.video, left, top, side, side);
  }

  /** The box on the page shows the same part of the picture as `frame`. */
  guide() {
    const { scale, side, top, height } = this.box();
    if (!(side > 0) || !Number.isFinite(scale)) return;
    this.stage.style.setProperty("--side", `${side * scale}px`);
    this.stage.style.setProperty("--middle", `${this.stage.clientHeight / 2 + (top + side / 2 - height / 2) * scale}px`);
  }

  /** Note each frame that the camera gives. @param {number} mine */
  watch(mine) {
    const noted = () => {
      if (mine !== this.round) return;
      this.fresh = true;
      this.wake();
      if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(noted);
      else setTimeout(noted, 33);
    };
    noted();
  }

  wake() {
    this.waiting?.();
    this.waiting = null;
  }

  /**
   * The camera's next frame, once there is one that may be answered; null when the camera was stopped.
   * @param {number} mine
   * @returns {Promise<ImageBitmap | null>}
   */
  async taken(mine) {
    while (mine === this.round) {
      if (!document.hidden && !this.held && this.fresh && this.video.videoWidth) {
        this.fresh = false;
        try {
          return await this.frame();
        } catch (error) {
          console.warn(error);
          await pause(1000); // the browser did not give it
        }
      }
      await Promise.race([new Promise((resolve) => { this.waiting = () => resolve(undefined); }), pause(document.hidden ? 5000 : 50)]);
    }
    return null;
  }

  /** @param {number} mine */
  async run(mine) {
    let next = this.taken(mine);
    while (mine === this.round) {
      const frame = await next;
      if (!frame || mine !== this.round || document.hidden || this.held) {
        frame?.close(); // of a moment before
        next = this.taken(mine);
        continue;
      }
      const began = performance.now(), answered = this.answered(frame);
      next = this.taken(mine); // one frame ahead, while this one is computed
      const still = await answered.catch((error) => {
        console.warn(error);
        return true;
      });
      if (still) {
        await pause(STILL_MS - (performance.now() - began));
        (await next)?.close();
        next = this.taken(mine);
      }
    }
    (await next)?.close();
  }
}

/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));
