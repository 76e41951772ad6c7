//! A place for a replica as its supervisor sees it.

use std::sync::Arc;

use tokio::sync::watch;

use super::keeper::{Generation, News};
use super::plan::{Place, Stage};
use super::status::{View, ViewState};
use crate::process::replica::Stop;

/// A place and who keeps it.
pub(crate) struct Slot {
    pub(crate) place: u64,
    pub(crate) generation: Arc<Generation>,
    pub(crate) stop: watch::Sender<Stop>,
    pub(crate) view: View,
}

impl Slot {
    /// Takes news of the place into account; that it has ended is its owner's business.
    pub(crate) fn hear(&mut self, news: News) {
        let view = &mut self.view;
        if view.state == ViewState::Going {
            // A place that is going stays so, whichever replica was in it when it was told.
            if let News::Started(replica) = news {
                view.replica = Some(replica);
            }
            return;
        }
        match news {
            News::Started(replica) => (view.replica, view.state) = (Some(replica), ViewState::Starting),
            News::Ready(address) => (view.state, view.trouble) = (ViewState::Ready(address), None),
            News::Failed(message) => {
                (view.replica, view.state, view.trouble) = (None, ViewState::Waiting, Some(message));
            }
            News::GaveUp(message) => {
                (view.replica, view.state, view.trouble) = (None, ViewState::GaveUp, Some(message));
            }
            News::Ended => {}
        }
    }

    pub(crate) fn place(&self, current: Option<&Arc<Generation>>) -> Place {
        let stage = match self.view.state {
            ViewState::Ready(_) => Stage::Ready,
            ViewState::Going => Stage::Going,
            ViewState::Starting | ViewState::Waiting | ViewState::GaveUp => Stage::Coming,
        };
        Place { is_current: self.is_current(current), stage, replica: self.view.replica.clone() }
    }

    pub(crate) fn view(&self, current: Option<&Arc<Generation>>) -> View {
        View { is_current: self.is_current(current), ..self.view.clone() }
    }

    fn is_current(&self, current: Option<&Arc<Generation>>) -> bool {
        current.is_some_and(|current| Arc::ptr_eq(current, &self.generation))
    }

    /// Tells the place to stop; what was told more urgently before stays.
    pub(crate) fn tell(&self, stop: Stop) {
        self.stop.send_if_modified(|told| {
            let is_news = *told < stop;
            *told = stop.max(*told);
            is_news
        });
    }
}
