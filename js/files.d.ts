/** Files: offered, accepted, and on their way. What `index.d.ts` exports of them. */

import type { Emitter, Peer, PeerloomError, Thread } from "./index.js";

/** One of the files of an offer. */
export interface OfferedFile {
  /** Without the folders that it is in. Made safe to keep: no separators, controls, marks of direction, at most 255 bytes. */
  readonly name: string;
  /** With the folders, `/` between them. Never absolute, never upwards. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** What its owner's browser says that it is; nothing to rely on. Empty if that is not known. */
  readonly type: string;
  /** Milliseconds since 1970, or 0. */
  readonly modified: number;
}

/**
 * What can be offered: files, folders, lists of them, what was dropped on the page or picked, or something of your own that
 * can be read from anywhere in it.
 */
export type Offerable =
  | Blob
  | FileSystemHandle
  | FileSystemEntry
  | DataTransfer
  | FileSource
  | Iterable<Blob | FileSystemHandle | FileSystemEntry | FileSource>;

export interface FileSource {
  readonly name?: string;
  /** Bytes: an integer. */
  readonly size: number;
  readonly type?: string;
  readonly lastModified?: number;
  /** The bytes from `from` up to, not including, `to`: the same each time. An ArrayBuffer is taken over, a view is copied. */
  read(from: number, to: number): ArrayBuffer | ArrayBufferView | Promise<ArrayBuffer | ArrayBufferView>;
}

export interface OfferOptions {
  /** Shown with the offer: at most 2000 characters. */
  note?: string;
  /** The name of a single file. Default: its own. */
  name?: string;
  /** At most 24 KiB of PNG, JPEG or WebP. Default: made of a single picture; `false`: none. */
  thumbnail?: Blob | false;
  /** Milliseconds that the offer stands, at most seven days. Default: an hour. */
  expires?: number;
  /** Bytes a second to each receiver, at most. */
  limit?: number;
  /** Who may have it. Default: everybody to whom it is made. */
  allow?: (peer: Peer) => boolean;
}

export interface AcceptOptions {
  /**
   * Where it goes. `"download"` (the default): to the browser's downloads, several files as one ZIP archive; it waits on
   * disk until it is complete, and goes on after the page was loaded anew. `"file"`: the same without the download.
   * `"blob"`: to memory. Or a stream, a file or folder handle, or a function that returns one of the first two for each
   * file.
   */
  to?:
    | "download"
    | "file"
    | "blob"
    | WritableStream<Uint8Array>
    | FileSystemHandle
    | ((file: OfferedFile) => WritableStream<Uint8Array> | FileSystemFileHandle | Promise<WritableStream<Uint8Array> | FileSystemFileHandle>);
  /** Bytes a second, at most. */
  limit?: number;
}

interface OfferBase {
  readonly id: string;
  readonly files: readonly OfferedFile[];
  /** The file's name; of several, the folder's that they are in, or how many there are. */
  readonly name: string;
  /** Bytes of all files. */
  readonly size: number;
  /** The file's type; empty for several. */
  readonly type: string;
  readonly note: string;
  /** A small picture, of a type that can be shown. */
  readonly thumbnail: Blob | undefined;
  /** The thread that it was made in. */
  readonly thread: Thread | undefined;
  readonly expires: Date;
}

/** Files that somebody offers to this page. */
export interface FileOffer extends OfferBase, Emitter<FileOfferEvents> {
  readonly from: Peer;
  readonly state: "open" | "accepted" | "closed";
  /** Bytes that are here already, from an earlier time. */
  readonly received: number;
  readonly transfer: Transfer | undefined;
  /** Names the same files, by path, size and date, whoever offers them, and whenever: for a page that remembers. */
  readonly key: string;
  /** Throws `offer_closed` or `invalid_option`. Again after a transfer that was cancelled here or had no room. */
  accept(options?: AcceptOptions): Transfer;
  /** `reason`, of at most 100 bytes, is for the owner to read. */
  decline(reason?: string): void;
  /** Hands what `"download"`, `"file"` or `"blob"` brought to the browser's downloads, again. Rejects with `invalid_option` before. */
  save(): Promise<void>;
}

export interface FileOfferEvents {
  /** `"done"`, `"declined"`, `"expired"`, `"peer_left"`, or the code of an error such as `"offer_closed"`. */
  close: { readonly reason: string };
}

/** Files that this page offers. */
export interface OwnOffer extends OfferBase, Emitter<OwnOfferEvents> {
  readonly state: "open" | "closed";
  /** One for each who has accepted. */
  readonly transfers: readonly Transfer[];
  /** Nobody can have it any more; transfers under way are cancelled. */
  withdraw(): void;
}

export interface OwnOfferEvents {
  /** Somebody accepted. */
  transfer: Transfer;
  /** Somebody does not want it: `"declined"`, the page's own words, or why it could not be asked. */
  decline: { readonly peer: Peer; readonly reason: string };
  /** `"withdrawn"` or `"expired"`. */
  close: { readonly reason: string };
}

/** `"waiting"`: for the other side to be there, or for the place where the files go. */
export type TransferState = "waiting" | "active" | "paused" | "done" | "failed" | "cancelled";

export interface Progress {
  readonly bytes: number;
  readonly total: number;
  /** Bytes a second. */
  readonly rate: number;
  /** Milliseconds left, or `null` while that is not known. */
  readonly eta: number | null;
}

/** The way of an offer's files from one page to another. Both sides have one. */
export interface Transfer extends Emitter<TransferEvents> {
  readonly offer: FileOffer | OwnOffer;
  /** The other side. */
  readonly peer: Peer;
  readonly state: TransferState;
  /** Who has paused it: this page, the other one, both, or nobody. A change of it is a `state` event, too. */
  readonly pausedBy: readonly ("here" | "there")[];
  readonly progress: Progress;
  /** Why it failed or was cancelled. */
  readonly error: PeerloomError | undefined;
  /** Bytes a second, at most; `Infinity`: no limit. Can be changed at any time. */
  limit: number;
  /** Both sides can; it goes on when neither has it paused. */
  pause(): void;
  resume(): void;
  cancel(): void;
  /**
   * Resolves when every file has arrived, is verified, and is where it was to go: to the File of `"download"`, `"file"` and
   * `"blob"`, to an array of them for several, else to `undefined`. Rejects with `cancelled`, `declined`, `offer_closed`,
   * `peer_left`, `file_corrupt`, `file_changed`, `storage_full`, `storage_failed`, or `protocol_violation`.
   */
  readonly done: Promise<File | File[] | undefined>;
}

export interface TransferEvents {
  /** At most ten a second, and the last one. */
  progress: Progress;
  state: TransferState;
}
