// Nothing of the contract is `any`, which would accept everything without a word. Compiled, never run.

import type {
  Client, ClientEvents, ClientOptions, Connection, ConnectionEvents, ConnectOptions, Data, Diagnosis, DiagnosisCheck, ErrorCode, Json, Member,
  Peer, PeerEvents, PeerloomError, Recovery, RequestOptions, Stats, StatsCandidate, Supported, Thread, ThreadEvents,
} from "peerloom";
import type { connect, init } from "peerloom";

type IsAny<T> = 0 extends 1 & T ? true : false;
/** Those members of `T` that are `any`, take it, or return it. */
type AnyIn<T> = { [Key in keyof T]-?: true extends IsAny<T[Key]> | AnyInCall<T[Key]> ? Key : never }[keyof T];
type AnyInCall<T> = T extends (...args: infer Arguments) => infer Result ? IsAny<Result> | IsAny<Awaited<Result>> | IsAny<Arguments[number]> : false;
type None<T extends never> = T;

export type Checks = [
  None<AnyIn<Client>>,
  None<AnyIn<ClientEvents>>,
  None<AnyIn<ClientOptions>>,
  None<AnyIn<Connection>>,
  None<AnyIn<ConnectionEvents>>,
  None<AnyIn<ConnectOptions>>,
  None<AnyIn<Diagnosis>>,
  None<AnyIn<DiagnosisCheck>>,
  None<AnyIn<Member>>,
  None<AnyIn<Peer>>,
  None<AnyIn<PeerEvents>>,
  None<AnyIn<Recovery>>,
  None<AnyIn<RequestOptions>>,
  None<AnyIn<Stats>>,
  None<AnyIn<StatsCandidate>>,
  None<AnyIn<Supported>>,
  None<AnyIn<Thread>>,
  None<AnyIn<ThreadEvents>>,
  None<AnyIn<PeerloomError>>,
  None<AnyIn<{ connect: typeof connect; init: typeof init; data: Data; json: Json; code: ErrorCode }>>,
];

// The check itself finds what it looks for.
// @ts-expect-error a member that is `any`
export type Found = None<AnyIn<{ hole: any }>>;
// @ts-expect-error a promise of `any`
export type Promised = None<AnyIn<{ hole(): Promise<any> }>>;
// @ts-expect-error an argument that is `any`
export type Taken = None<AnyIn<{ hole(argument: any): void }>>;
