// The camera, one frame at a time: the next frame is taken when the last one is answered, so frames are skipped instead of queued.

const GUIDE = 0.8; // share of the video's short side, as in the app
const PORTRAIT = 1.3, PORTRAIT_CENTER = 0.36; // height/width of a portrait stage, and where the guide box is centred in it
const STILL_MS = 200; // minimum time between two frames while nothing moves

export class Camera {
  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLElement} stage
   * @param {(frame: ImageBitmap) => Promise<boolean>} onFrame resolves to whether the frame is still, the same as the one before
   * @param {(key: string) => void} onProblem gets the key of a message
   */
  constructor(video, stage, onFrame, onProblem) {
    this.video = video;
    this.stage = stage;
    this.onFrame = onFrame;
    this.onProblem = onProblem;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.round = 0;
    this.held = false;
    /** @type {string[]} */
    this.cameras = [];
    this.chosen = 0;
    /** @type {(() => void) | null} */
    this.resume = null;
    this.hasNewFrame = false;
    new ResizeObserver(() => this.guide()).observe(stage);
    video.addEventListener("resize", () => this.guide());
    document.addEventListener("visibilitychange", () => this.wake());
  }

  get on() {
    return Boolean(this.stream && this.video.videoWidth);
  }

  /** Open a camera, first the one that faces away from the user. Resolves to whether it is open. */
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
      if (mine !== this.round) return false; // stopped or restarted while the camera was opening
      this.halt();
      const name = error instanceof DOMException ? error.name : "";
      const known = /** @type {Record<string, string>} */ ({ NotAllowedError: "classify.live_denied", NotReadableError: "classify.live_busy" });
      return this.failed(known[name] ?? "classify.live_none");
    }
    if (mine !== this.round || !this.stream) return false;
    this.stream.getVideoTracks()[0].addEventListener("ended", () => {
      if (mine === this.round) {
        this.stop();
        this.onProblem("classify.live_none");
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

  /** @param {string} key */
  failed(key) {
    this.onProblem(key);
    return false;
  }

  /** Switch to the next camera. */
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
   * The guide box in pixels of the video, and the scale at which the page displays the video, which covers its stage. On a portrait
   * stage, the box is above the middle, so that the answer does not cover it.
   */
  box() {
    const { videoWidth: width, videoHeight: height } = this.video, { clientWidth: across, clientHeight: down } = this.stage;
    const scale = Math.max(across / width, down / height), center = down > PORTRAIT * across ? PORTRAIT_CENTER : 0.5;
    const side = Math.round(Math.min(width, height, across / scale, down / scale) * GUIDE);
    const middle = Math.min(Math.max(height / 2 + ((center - 0.5) * down) / scale, side / 2), height - side / 2);
    return { scale, side, left: Math.round((width - side) / 2), top: Math.round(middle - side / 2), height };
  }

  /** The inside of the guide box, at the camera's resolution. */
  frame() {
    const { side, left, top } = this.box();
    return createImageBitmap(this.video, left, top, side, side);
  }

  /** Position the guide box on the page over the part of the video that `frame` returns. */
  guide() {
    const { scale, side, top, height } = this.box();
    if (!(side > 0) || !Number.isFinite(scale)) return;
    this.stage.style.setProperty("--side", `${side * scale}px`);
    this.stage.style.setProperty("--middle", `${this.stage.clientHeight / 2 + (top + side / 2 - height / 2) * scale}px`);
  }

  /** Wake `run` for each new frame of the video. @param {number} mine */
  watch(mine) {
    const onVideoFrame = () => {
      if (mine !== this.round) return;
      this.hasNewFrame = true;
      this.wake();
      if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(onVideoFrame);
      else setTimeout(onVideoFrame, 33);
    };
    onVideoFrame();
  }

  wake() {
    this.resume?.();
    this.resume = null;
  }

  /**
   * The camera's next new frame, while the page is visible and the camera not held; null once the camera is stopped.
   * @param {number} mine
   * @returns {Promise<ImageBitmap | null>}
   */
  async nextFrame(mine) {
    while (mine === this.round) {
      if (!document.hidden && !this.held && this.hasNewFrame && this.video.videoWidth) {
        this.hasNewFrame = false;
        try {
          return await this.frame();
        } catch (error) {
          console.warn(error);
          await pause(1000); // the browser could not provide it
        }
      }
      await Promise.race([new Promise((resolve) => { this.resume = () => resolve(undefined); }), pause(document.hidden ? 5000 : 50)]);
    }
    return null;
  }

  /** @param {number} mine */
  async run(mine) {
    let next = this.nextFrame(mine);
    while (mine === this.round) {
      const frame = await next;
      if (!frame || mine !== this.round || document.hidden || this.held) {
        frame?.close(); // it was taken before the page was hidden, or the camera held
        next = this.nextFrame(mine);
        continue;
      }
      const began = performance.now(), answered = this.onFrame(frame);
      next = this.nextFrame(mine); // one frame ahead, while this one is computed
      const still = await answered.catch((error) => {
        console.warn(error);
        return true;
      });
      if (still) {
        await pause(STILL_MS - (performance.now() - began));
        (await next)?.close();
        next = this.nextFrame(mine);
      }
    }
    (await next)?.close();
  }
}

/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));
