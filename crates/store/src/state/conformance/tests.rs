//! The list of the cases as tests of their own: a macro cannot ask a module for its names.

/// Makes a `#[test]` of every case, in one module per part of the port; see [`crate::state::conformance`].
///
/// The argument is called once per case: `fn() -> Fixture`.
#[macro_export]
macro_rules! state_store_tests {
    ($fixture:expr) => {
        $crate::state_store_tests! {
            @modules $fixture;
            commits: [
                writes_see_those_before_them,
                a_refused_commit_changes_nothing,
                the_first_write_that_is_refused_is_told,
                a_condition_guards_the_other_writes,
                a_large_commit_is_one,
                a_refused_commit_spoils_no_other,
            ];
            concurrency: [
                many_may_spend_one_balance,
                one_of_many_changes_to_a_version_counts,
                one_of_many_makes_a_document,
                many_may_append_to_one_log,
                look_ups_see_whole_commits,
                queries_see_whole_commits,
                chains_of_dependent_appends_have_no_fork,
            ];
            counters: [
                a_counter_begins_at_0,
                a_sum_does_not_pass_the_floor,
                a_sum_does_not_pass_the_ceiling,
                a_sum_beyond_a_bound_can_come_back,
                adding_nothing_asks_for_both_bounds,
                numbers_have_limits,
                a_reset_answers_what_was_left,
                a_transfer_keeps_the_total,
                counters_are_no_documents,
            ];
            documents: [
                what_was_put_is_found,
                a_put_replaces_the_value,
                versions_grow_with_every_put,
                a_version_is_never_given_twice,
                expectations_decide,
                deleting_nothing_is_no_failure,
                a_touch_leaves_value_and_version,
                a_check_answers_the_version,
                look_ups_answer_one_by_one,
                collections_and_namespaces_are_apart,
                any_text_is_a_key,
                values_come_back_as_they_were,
            ];
            expiry: [
                an_expired_document_is_absent,
                an_expired_document_meets_expectations_of_absence,
                an_expired_counter_begins_at_0,
                an_expired_log_begins_higher,
                a_write_keeps_the_time_unless_told,
                what_replaces_something_expired_does_not_expire,
                a_time_that_has_passed_means_at_once,
                queries_pass_over_what_expired,
                sweeping_changes_nothing_that_is_seen,
                sweeping_tells_when_the_next_thing_expires,
                sweeping_goes_on_in_slices,
                sweeping_spares_what_was_extended,
                sweeping_nothing_is_nothing,
            ];
            handles: [
                what_one_commits_the_other_sees,
                versions_and_numbers_are_shared,
                both_spend_one_balance,
                appends_of_one_reach_who_follows_through_the_other,
                followers_of_both_see_the_same,
                a_watch_may_come_and_go_between_appends_of_the_other,
                clearing_and_sweeping_are_for_both,
                closing_one_leaves_the_other,
            ];
            indexes: [
                equal_values_come_by_key,
                integers_come_in_their_order,
                texts_come_in_the_order_of_their_bytes,
                integers_come_before_texts,
                values_may_have_parts,
                ranges_are_half_open,
                texts_are_found_by_their_beginning,
                everything_can_come_backwards,
                a_put_replaces_all_entries,
                a_deleted_document_is_found_no_more,
                a_document_may_have_several_entries,
                indexes_are_apart,
                keys_are_found_by_their_beginning,
                pages_go_on_where_the_last_ended,
                pages_hold_while_documents_come_and_go,
                bytes_bound_a_page,
                a_limit_over_the_highest_means_the_highest,
                a_cursor_of_another_query_leads_nowhere_else,
            ];
            limits: [
                writes_are_checked,
                names_have_a_length,
                values_have_the_length_that_the_caller_sets,
                batches_have_a_length,
                look_ups_are_checked,
                what_is_just_within_the_limits_is_accepted,
            ];
            logs: [
                numbers_grow_by_one,
                what_was_appended_is_read,
                logs_are_apart,
                a_bound_keeps_the_newest,
                a_lowered_bound_is_reached_in_slices,
                an_append_may_expect_the_newest,
                logs_come_in_pages,
                bytes_bound_a_page_of_a_log,
                trimming_keeps_the_newest,
                trimming_goes_through_a_number,
                trimming_goes_up_to_a_time,
                trimming_goes_on_in_slices,
                numbers_go_on_after_everything_was_trimmed,
                a_forgotten_log_begins_higher,
                a_channel_keeps_its_messages,
            ];
            names: [
                everything_has_names,
                names_remain_until_they_are_removed,
                names_are_found_by_their_beginning,
                names_come_in_pages,
                looking_makes_no_names,
                clearing_removes_everything_of_a_namespace,
                a_cleared_namespace_begins_anew,
                clearing_is_swept_in_slices,
            ];
            reopening: [
                everything_is_there_again,
                versions_and_numbers_go_on,
                a_follower_resumes_where_it_was,
                closing_finishes_what_was_submitted,
                a_closed_store_says_so,
                many_reopenings_lose_nothing,
            ];
            subscriptions: [
                the_oldest_come_first,
                one_may_begin_after_a_number,
                one_may_begin_now,
                what_is_appended_later_is_delivered,
                a_log_may_begin_later,
                a_change_and_its_notice_are_one,
                a_delivery_is_bounded,
                every_subscription_gets_everything,
                what_was_trimmed_is_told,
                what_outran_the_bound_is_told,
                a_log_that_began_anew_is_told,
                waiting_twice_is_refused,
                dropping_answers,
                a_watch_that_ended_is_silent,
                other_logs_are_not_told_of,
                nothing_is_lost_or_repeated_under_load,
            ];
        }
    };
    (@modules $fixture:expr; $($module:ident: [$($case:ident,)*];)*) => {
        fn fresh_fixture() -> $crate::state::conformance::Fixture {
            ($fixture)()
        }

        $(mod $module {
            $(#[test]
            fn $case() {
                $crate::state::conformance::run(concat!(stringify!($module), "::", stringify!($case)), super::fresh_fixture());
            })*
        })*

        #[test]
        fn every_case_is_run() {
            let run = [$($(concat!(stringify!($module), "::", stringify!($case))),*),*];
            assert_eq!(run.as_slice(), $crate::state::conformance::names());
        }
    };
}
